"""Every activation: element-wise, smooth enough to train, exact in float64, close in bfloat16."""

import math

import pytest
import torch
from scipy.special import expit, ndtr

from paribus.core.discovery import members
from paribus.layers.activations.base import Activation
from paribus.layers.activations.gelu import GELU
from paribus.layers.activations.silu import SiLU
from paribus.layers.activations.squared_relu import SquaredReLU

EXAMPLES = [example for cls in members(Activation) for example in cls.examples]


@pytest.fixture(params=EXAMPLES, ids=str)
def activation(request) -> Activation:
    return request.param


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Activation))


def test_element_by_element(activation):
    x = torch.randn(3, 7, 5)
    one_by_one = torch.stack([activation(value) for value in x.flatten()]).view_as(x)
    torch.testing.assert_close(activation(x), one_by_one)


def test_gradient(activation):
    x = (torch.randn(31, dtype=torch.float64) * 3).requires_grad_()
    assert torch.autograd.gradcheck(activation, x)


def test_mapped_over_a_stack_of_models(activation):
    x = torch.randn(3, 31, requires_grad=True)
    mapped, plain = torch.func.vmap(activation)(x), activation(x)
    torch.testing.assert_close(mapped, plain)
    torch.testing.assert_close(torch.autograd.grad(mapped.sum(), x), torch.autograd.grad(plain.sum(), x))


def test_second_derivatives_are_right_or_refused(activation):
    x = (torch.randn(31, dtype=torch.float64) * 3).requires_grad_()
    try:
        assert torch.autograd.gradgradcheck(activation, x)
    except NotImplementedError as refusal:
        assert "cannot be differentiated again" in str(refusal)  # noqa: PT017


def test_far_arguments_stay_finite(activation):
    x = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    y = activation(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.isfinite().all()
    assert gradient.isfinite().all()


def test_bfloat16(activation):
    x = torch.randn(1000)
    error = (activation(x.bfloat16()).float() - activation(x.bfloat16().float())).abs()
    assert (error <= 2**-8 * activation(x.bfloat16().float()).abs() + 1e-3).all()


@pytest.mark.parametrize(
    ("activation", "formula", "tolerance"),
    [
        (GELU(), lambda x: x * ndtr(x), 1e-12),
        (SiLU(), lambda x: x * expit(x), 1e-12),
        (SquaredReLU(), lambda x: max(x, 0.0) ** 2, 1e-12),
    ],
    ids=["GELU", "SiLU", "SquaredReLU"],
)
def test_formula(activation, formula, tolerance):
    x = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    expected = torch.tensor([formula(value) for value in x.tolist()], dtype=torch.float64)
    worst = float((activation(x) - expected).abs().max())
    assert worst <= tolerance
    assert math.isfinite(worst)
