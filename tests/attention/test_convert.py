"""Conversions between attentions: exact where they say so, and with the error that they state."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.convert import output_error, to_grouped, to_latent
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.log_length import LogLength
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw
from paribus.normalizers.learned_entmax import LearnedEntmax
from paribus.positions.no_position import NoPosition

MANY = GroupedQuery.Config(d_model=24, n_heads=6, head_dim=8)
X, AT = torch.randn(2, 9, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(9)[None]


def build(config):
    layer = config.build().double()
    draw(layer, 0)
    return layer


@pytest.mark.parametrize("n_kv_heads", [6, 3, 2, 1])
def test_heads_that_agree_lose_nothing(n_kv_heads):
    """Heads that are copies of one another within their group."""
    layer = build(MANY)
    with torch.no_grad():
        for weight in (layer.key.weight, layer.value.weight):
            heads = weight.view(n_kv_heads, -1, 8, 24)
            heads.copy_(heads[:, :1].clone().expand_as(heads))
    grouped = to_grouped(layer, n_kv_heads)
    assert grouped.layer.config == replace(MANY, n_kv_heads=n_kv_heads)
    assert grouped.key_error < 1e-12
    assert grouped.value_error < 1e-12
    assert output_error(layer, grouped.layer, X, AT) < 1e-12


@torch.no_grad()
def test_the_error_that_is_stated_is_the_one_of_keys_and_values():
    """On many inputs of uncorrelated coordinates the keys are off by the stated share; one more group, less error."""
    layer = build(MANY)
    x = torch.randn(20_000, 24, dtype=torch.float64)
    errors = []
    for n_kv_heads in (3, 2, 1):
        grouped = to_grouped(layer, n_kv_heads)
        exact = (x @ layer.key.weight.T).view(-1, n_kv_heads, 6 // n_kv_heads, 8)
        shared = (x @ grouped.layer.key.weight.T).view(-1, n_kv_heads, 1, 8)
        assert float((exact - shared).norm() / exact.norm()) == pytest.approx(grouped.key_error, rel=0.01)
        errors.append(grouped.key_error)
        # Independent heads of one law: the mean of m keeps 1/m of the square.
        assert grouped.key_error == pytest.approx((1 - n_kv_heads / 6) ** 0.5, abs=0.05)
    assert errors == sorted(errors)
    assert to_grouped(layer, 6).key_error == 0


@pytest.mark.parametrize("n_kv_heads", [6, 2, 1])
@pytest.mark.parametrize("change", [{}, {"scale": LogLength(base=4.0)}], ids=["plain", "scaled"])
def test_grouped_to_latent_is_exact(n_kv_heads, change):
    layer = build(replace(MANY, n_kv_heads=n_kv_heads, position=NoPosition(), **change))
    latent = to_latent(layer)
    assert latent.config.state_bytes(7) == layer.config.state_bytes(7)
    torch.testing.assert_close(latent(X, AT), layer(X, AT), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(latent(X, AT, form="absorbed"), layer(X, AT), rtol=1e-12, atol=1e-12)


def test_a_learned_normalizer_comes_along():
    layer = build(replace(MANY, position=NoPosition(), normalizer=LearnedEntmax.Config(n_heads=6)))
    with torch.no_grad():
        for weight in layer.normalizer.parameters():
            weight.add_(0.3)
    torch.testing.assert_close(to_latent(layer)(X, AT), layer(X, AT), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(to_grouped(layer, 6).layer(X, AT), layer(X, AT), rtol=1e-12, atol=1e-12)


def test_what_cannot_be_converted():
    layer = build(MANY)
    with pytest.raises(ConfigError, match="6 key heads cannot be averaged into 4: give a divisor"):
        to_grouped(layer, 4)
    with pytest.raises(ConfigError, match="Rotary turns keys by their place"):
        to_latent(layer)
    with pytest.raises(ConfigError, match="KeyNorm changes keys, which are not held in full here"):
        to_latent(build(replace(MANY, position=NoPosition(), scale=KeyNorm())))
