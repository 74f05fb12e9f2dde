"""Biases by distance: published values, what training sees of them, and the layer that holds them."""

import math
from dataclasses import replace

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw
from paribus.positions.alibi import ALiBi
from paribus.positions.kerple import Kerple
from paribus.positions.rotary import Rotary
from paribus.positions.sandwich import Sandwich
from paribus.positions.t5_bias import T5Bias

AT = torch.arange(9)[None]
DISTANCE = (torch.arange(9)[:, None] - torch.arange(9)).abs()


@pytest.mark.parametrize(
    ("n_heads", "slopes"),
    [
        (1, [2**-8]),
        (8, [2.0**-h for h in range(1, 9)]),
        (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]),
        (12, [2.0**-h for h in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]),
    ],
)
def test_slopes_of_alibi(n_heads, slopes):
    assert ALiBi().slopes(n_heads) == pytest.approx(slopes)
    bias = ALiBi().bias(n_heads, AT, AT)
    torch.testing.assert_close(bias, -torch.tensor(slopes)[None, :, None, None] * DISTANCE)


def test_sandwich():
    """The dot product of sinusoidal positions, divided by the ratio of the head."""
    width, heads = 6, 4
    exponent = torch.arange(0, width, 2) / width
    angles = torch.arange(9)[:, None] * 10000.0**-exponent
    table = torch.cat((angles.sin(), angles.cos()), dim=-1)
    ratio = torch.arange(1, heads + 1) * 8 / heads
    expected = (table @ table.T)[None] / ratio[:, None, None]
    torch.testing.assert_close(Sandwich(width=width).bias(heads, AT, AT)[0], expected)


@pytest.mark.parametrize("kind", ["log", "power"])
def test_kerple(kind):
    layer = Kerple.Config(n_heads=2, kind=kind).build()
    draw(layer, 0)
    height, rate = layer.height.detach().exp(), layer.rate.detach()
    found = layer.bias(2, AT, AT)
    for h in range(2):
        for distance in (0, 1, 5, 8):
            shape = (
                math.log1p(float(rate[h].exp()) * distance)
                if kind == "log"
                else distance ** (2 * float(rate[h].sigmoid()))
            )
            assert float(found[0, h, 8, 8 - distance].detach()) == pytest.approx(-float(height[h]) * shape, rel=1e-5)
    for gradient in torch.autograd.grad(found.sum(), list(layer.parameters())):
        assert gradient.isfinite().all()
        assert (gradient != 0).all()


def test_buckets_of_t5():
    """Values of the released code for one direction, 32 buckets up to 128."""
    layer = T5Bias.Config(n_heads=1).build()
    distances = torch.tensor([-5, 0, 1, 15, 16, 17, 20, 31, 32, 63, 64, 127, 128, 9999])
    assert layer.bucket(distances).tolist() == [0, 0, 1, 15, 16, 16, 17, 21, 21, 26, 26, 31, 31, 31]
    both = T5Bias.Config(n_heads=1, buckets=8, longest=20, both_ways=True).build()
    assert both.bucket(torch.tensor([0, 1, 2, 30, -1, -30])).tolist() == [0, 1, 2, 3, 5, 7]


@torch.no_grad()
def test_the_table_of_t5():
    layer = T5Bias.Config(n_heads=3).build()
    layer.table.copy_(torch.randn(3, 32))
    found = layer.bias(3, AT, AT)
    assert found.shape == (1, 3, 9, 9)
    for h in range(3):
        assert float(found[0, h, 7, 2]) == float(layer.table[h, 5])


@pytest.mark.parametrize("config", [*Kerple.Config.examples, *T5Bias.Config.examples], ids=str)
@torch.no_grad()
def test_in_a_layer(config):
    """Counted, drawn by name, trained, and the same in chunks as whole."""
    own = GroupedQuery.Config(d_model=16, n_heads=4, n_kv_heads=2, position=config)
    layer, x, at = own.build(), torch.randn(2, 11, 16), torch.arange(11)[None]
    draw(layer, 0)
    plain = replace(own, position=Rotary())
    assert own.n_parameters() == plain.n_parameters() + config.n_parameters()
    assert own.n_parameters() == sum(weight.numel() for weight in layer.parameters())
    with torch.enable_grad():
        gradients = torch.autograd.grad(layer(x, at).square().sum(), list(layer.position.parameters()))
    assert all((gradient != 0).any() for gradient in gradients)
    whole, state = layer(x, at), layer.start(2, 11, torch.float32, torch.device("cpu"))
    parts = [layer.prefill(x[:, low:high], at[:, low:high], state)[0] for low, high in ((0, 4), (4, 5), (5, 11))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_heads_must_agree():
    with pytest.raises(ConfigError, match=r"n_heads = 3 of Kerple\.Config, and the layer has 4: make the two equal"):
        GroupedQuery.Config(d_model=16, n_heads=4, position=Kerple.Config(n_heads=3))


def test_parameters_belong_to_the_module():
    with pytest.raises(ConfigError, match=r"T5Bias\.Config has parameters: call"):
        T5Bias.Config(n_heads=4).bias(4, AT, AT)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"buckets": 5}, "buckets = 5: expected a positive multiple of 2"),
        ({"longest": 16}, "expected more than the 16"),
    ],
)
def test_impossible_buckets(fields, words):
    with pytest.raises(ConfigError, match=words):
        T5Bias.Config(n_heads=1, **fields)
