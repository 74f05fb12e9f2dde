"""Dynamic NTK: every query and all its keys by the frequencies of one length, in every program."""

import pytest
import torch

from paribus.attention import piecewise as program
from paribus.attention.caches import RawKeys
from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.scaling.ntk_aware import NTKAware


def build(scaling) -> GroupedQuery:
    layer = GroupedQuery.Config(
        d_model=16, n_heads=4, n_kv_heads=2, position=Rotary(base=100.0, scaling=scaling)
    ).build()
    draw(layer, 0)
    return layer


@pytest.mark.parametrize("refresh", [1, 4])
@torch.no_grad()
def test_each_query_is_read_as_at_its_own_length(refresh):
    """Row m of the whole is row m of a model with fixed NTK-aware scaling for the length of its stage."""
    x, at = torch.randn(1, 15, 16, dtype=torch.float64), torch.arange(15)[None]
    whole = build(DynamicNTK(train_length=6, refresh=refresh)).double()(x, at)
    for m in range(15):
        length = max(6, 6 + refresh * -(-(m + 1 - 6) // refresh))
        fixed = build(NTKAware(factor=length / 6)).double()(x[:, : m + 1], at[:, : m + 1])
        torch.testing.assert_close(whole[:, m], fixed[:, m])


@pytest.mark.parametrize("scaling", DynamicNTK.examples, ids=str)
def test_fast_is_dense_and_cached(monkeypatch, scaling):
    layer, x, at = build(scaling).double(), torch.randn(2, 19, 16, dtype=torch.float64), torch.arange(19)[None]
    results = []
    for limit in (1000, 0):
        monkeypatch.setattr(program, "DENSE_UP_TO", limit)
        own = x.clone().requires_grad_()
        y = layer(own, at)
        results.append((y, *torch.autograd.grad(y.square().sum(), [own, *layer.parameters()])))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    state, parts, done = layer.start(2, 19, torch.float64, torch.device("cpu")), [], 0
    assert isinstance(state, RawKeys)
    for size in (3, 1, 1, 1, 9, 1, 1, 2):
        parts.append(layer.prefill(x[:, done : done + size], at[:, done : done + size], state)[0])
        done += size
    torch.testing.assert_close(torch.cat(parts, dim=1), results[0][0], rtol=1e-9, atol=1e-9)


def test_frequencies_that_are_held():
    theta = Rotary().frequencies(64)
    assert torch.equal(DynamicNTK(train_length=8)(theta), theta)
    torch.testing.assert_close(DynamicNTK(train_length=8, length=32)(theta), NTKAware(factor=4.0)(theta))
    torch.testing.assert_close(DynamicNTK(train_length=8, length=32, strength=2.0)(theta), NTKAware(factor=7.0)(theta))


def test_not_with_a_map():
    with pytest.raises(ConfigError, match="DynamicNTK changes with the length and ReRoPE bounds the distance"):
        Rotary(scaling=DynamicNTK(train_length=8), map=ReRoPE(window=4))


@pytest.mark.parametrize("fields", [{"train_length": 0}, {"refresh": 0}, {"strength": 0.5}, {"length": 3}])
def test_impossible_values(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        DynamicNTK(**{"train_length": 8} | fields)
