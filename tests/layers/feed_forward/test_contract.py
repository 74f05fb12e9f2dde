"""Every feed-forward network: one token at a time, priced by what it holds and does."""

from dataclasses import replace

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.parameters import draw

EXAMPLES = [example for cls in members(FeedForwardConfig) for example in cls.examples]


@pytest.fixture(params=EXAMPLES, ids=str)
def config(request) -> FeedForwardConfig:
    return request.param


@pytest.fixture
def network(config):
    module = config.build()
    draw(module, 0)
    return module


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(FeedForwardConfig))


@pytest.mark.parametrize("d_ff", [1, 20, 63])
@pytest.mark.parametrize("length", [1, 7])
def test_price(config, counted_flops, d_ff, length):
    config = replace(config, d_ff=d_ff)
    module = config.build()
    assert config.n_parameters() == sum(weight.numel() for weight in module.parameters())
    x = torch.randn(1, length, config.d_model)
    assert config.flops(length) == counted_flops(lambda: module(x))


def test_price_grows_with_the_width(config):
    """What the budget solves by bisection must be monotone."""
    prices = [(replace(config, d_ff=d).n_parameters(), replace(config, d_ff=d).flops(9)) for d in range(1, 30)]
    assert prices == sorted(set(prices))


def test_one_token_at_a_time(config, network):
    x = torch.randn(2, 5, config.d_model)
    each = torch.stack([network(token) for token in x.flatten(0, 1)]).view_as(x)
    torch.testing.assert_close(network(x), each)
    assert torch.equal(network(torch.zeros_like(x)), torch.zeros_like(x))


def test_the_gain_softens_the_output_only(config):
    loud, soft = config.build(), replace(config, residual_gain=0.25).build()
    draw(loud, 1)
    draw(soft, 1)
    x = torch.randn(3, config.d_model)
    torch.testing.assert_close(soft(x), loud(x) * 0.25)


def test_gradient(config, network):
    network.double()
    x = torch.randn(3, config.d_model, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, x)


def test_an_impossible_width(config):
    with pytest.raises(ConfigError, match="d_ff = 0: expected a positive width"):
        replace(config, d_ff=0)
