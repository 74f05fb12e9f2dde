"""Every norm: one vector at a time, priced honestly, blind to the scale of its input."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.layers.norms.base import NormConfig
from paribus.layers.parameters import draw

EXAMPLES = [example for cls in members(NormConfig) for example in cls.examples]


@pytest.fixture(params=EXAMPLES, ids=str)
def config(request) -> NormConfig:
    return request.param


@pytest.fixture
def norm(config):
    module = config.build()
    draw(module, 0)
    return module


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(NormConfig))


def test_price(config, norm):
    assert config.n_parameters() == sum(weight.numel() for weight in norm.parameters())


def test_one_vector_at_a_time(config, norm):
    x = torch.randn(3, 5, config.d_model)
    each = torch.stack([norm(vector) for vector in x.flatten(0, 1)]).view_as(x)
    torch.testing.assert_close(norm(x), each)


def test_blind_to_scale(config, norm):
    x = torch.randn(4, config.d_model, dtype=torch.float64)
    norm.double()
    torch.testing.assert_close(norm(1000 * x), norm(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm(x).square().mean(dim=-1), torch.ones(4, dtype=torch.float64), rtol=1e-4, atol=0)


def test_zero_vector(config, norm):
    x = torch.zeros(2, config.d_model, requires_grad=True)
    y = norm(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, torch.zeros_like(y))
    assert gradient.isfinite().all()


def test_gradient(config, norm):
    norm.double()
    x = torch.randn(3, config.d_model, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, x)


def test_second_derivatives_are_right_or_refused(config, norm):
    norm.double()
    x = torch.randn(3, config.d_model, dtype=torch.float64, requires_grad=True)
    try:
        assert torch.autograd.gradgradcheck(norm, x)
    except NotImplementedError as refusal:
        assert "cannot be differentiated again" in str(refusal)  # noqa: PT017


def test_an_impossible_eps(config):
    with pytest.raises(ConfigError, match=r"eps = 0\.0: expected a positive number"):
        type(config)(d_model=4, eps=0)
