"""Every quantizer: the nearest code in value, the identity in gradient, and a loss that pulls the two together."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw
from paribus.quantizers.base import QuantizerConfig
from paribus.quantizers.ema import EMA

EXAMPLES = [example for cls in members(QuantizerConfig) for example in cls.examples]
every = pytest.mark.parametrize("config", EXAMPLES, ids=str)


def build(config, dtype=torch.float64):
    quantizer = config.build()
    draw(quantizer, 0)
    return quantizer.to(dtype)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(QuantizerConfig))


@every
@pytest.mark.parametrize("length", [1, 7, 300])
def test_the_nearest_by_brute_force(config, length):
    quantizer = build(config).eval()
    x = torch.randn(2, config.groups, length, 3, dtype=torch.float64, requires_grad=True)
    vectors, which, loss = quantizer(x)
    distance = (x.unsqueeze(3) - quantizer.codes[:, None]).square().sum(-1)
    assert torch.equal(which, distance.argmin(-1))
    for group in range(config.groups):
        torch.testing.assert_close(vectors[:, group], quantizer.codes[group][which[:, group]])
    (straight,) = torch.autograd.grad(vectors.sum(), x, retain_graph=True)
    assert (straight == 1).all()
    (pull,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(pull, config.commitment * 2 * (x - vectors) / x.numel())


@every
def test_codes_stay_as_they_are_and_have_a_price(config, counted_flops):
    quantizer = build(config).eval()
    x = torch.randn(1, config.groups, 9, 3, dtype=torch.float64)
    vectors, which, _ = quantizer(quantizer.codes[None].clone())
    assert torch.equal(which[0], torch.arange(config.n_codes).expand(config.groups, -1))
    torch.testing.assert_close(vectors[0], quantizer.codes.detach())
    assert config.n_parameters() == sum(weight.numel() for weight in quantizer.parameters())
    assert config.flops(9) == counted_flops(lambda: quantizer(x))


@every
def test_sixteen_bits(config):
    """Places are found in float32: codes further apart than the rounding of x are told apart."""
    quantizer = build(config, torch.float32)
    x = quantizer.codes.detach()[None].bfloat16()
    vectors, which, loss = quantizer(x)
    assert vectors.dtype == torch.bfloat16
    assert torch.equal(which[0], torch.arange(config.n_codes).expand(config.groups, -1))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_codes": 0}, "n_codes = 0: expected at least 1"),
        ({"n_codes": 4, "width": 0}, "width = 0: expected at least 1"),
        ({"n_codes": 4, "groups": 0}, "groups = 0: expected at least 1"),
        ({"n_codes": 4, "decay": 1.0}, r"decay = 1.0: expected a number in \[0, 1\)"),
        ({"n_codes": 4, "restart_below": -1.0}, "restart_below = -1.0: expected 0 or more"),
        ({"n_codes": 4, "commitment": -1.0}, "commitment = -1.0: expected 0 or more"),
    ],
)
def test_impossible_quantizers(wrong, said):
    with pytest.raises(ConfigError, match=said):
        EMA.Config(**wrong)


def test_a_width_is_needed():
    with pytest.raises(ConfigError, match=r"EMA\.Config has no width: give one, or put it into a layer"):
        EMA.Config(n_codes=4).build()
