"""Every feature map: widths as said, products that can be weights, and finite gradients."""

import math

import pytest
import torch

from paribus.attention.features.base import FeatureMap
from paribus.attention.features.taylor import Taylor
from paribus.core.discovery import members

EXAMPLES = [example for cls in members(FeatureMap) for example in cls.examples]
every = pytest.mark.parametrize("features", EXAMPLES, ids=str)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(FeatureMap))


@every
@pytest.mark.parametrize("head_dim", [1, 5, 8])
def test_widths_and_signs(features, head_dim):
    x, y = torch.randn(7, head_dim), 3 * torch.randn(9, head_dim)
    mapped = features(x)
    assert mapped.shape == (7, features.width(head_dim))
    assert (mapped @ features(y).T >= 0).all()
    assert not features.positive or (mapped >= 0).all()


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtype_and_gradients(features, dtype):
    x = torch.randn(5, 6, dtype=dtype, requires_grad=True)
    y = features(x)
    assert y.dtype == dtype
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert gradient.isfinite().all()
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(features, (x,))


@pytest.mark.parametrize("head_dim", [1, 3, 8])
def test_taylor_is_the_second_order_of_exp(head_dim):
    q, k = torch.randn(7, head_dim, dtype=torch.float64), torch.randn(9, head_dim, dtype=torch.float64)
    s = q @ k.T / math.sqrt(head_dim)
    product = Taylor()(q) @ Taylor()(k).T
    torch.testing.assert_close(product, 1 + s + s**2 / 2)
    assert (product >= 0.5).all()
    small = 1e-3 * s
    shrunk = Taylor()(1e-3 * q) @ Taylor()(k).T
    torch.testing.assert_close(shrunk, small.exp(), rtol=0, atol=float((small.abs() ** 3).max()))
    assert Taylor().width(head_dim) % 2 == 0
