import math

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.normalizers.taylor_softmax import TaylorSoftmax


@pytest.mark.parametrize("order", [2, 4, 6, 20])
def test_formula(order):
    scores = torch.randn(4, 9, dtype=torch.float64) * 5
    f = sum(scores**i / math.factorial(i) for i in range(order + 1))
    assert (f > 0).all()
    torch.testing.assert_close(TaylorSoftmax(order=order)(scores), f / f.sum(-1, keepdim=True), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        TaylorSoftmax(order=order)(scores.float()), TaylorSoftmax(order=order)(scores).float(), rtol=1e-3, atol=1e-6
    )


def test_powers_do_not_overflow():
    for size in (1e10, 1e30, 3e38):
        weights = TaylorSoftmax(order=4)(torch.tensor([size, size / 2, -size, 0.0]))
        torch.testing.assert_close(weights, torch.tensor([1.0, 1 / 16, 1.0, 0.0]) / (2 + 1 / 16))


def test_what_it_gives_up():
    """Neither shift nor, below the minimum of f, order."""
    scores = torch.tensor([0.0, 1.0])
    assert not torch.allclose(TaylorSoftmax()(scores), TaylorSoftmax()(scores + 1))
    weights = TaylorSoftmax()(torch.tensor([-1.0, -3.0]))
    assert weights[1] > weights[0]


@pytest.mark.parametrize("order", [0, 1, 3, -2, 22])
def test_odd_orders_are_refused(order):
    with pytest.raises(ConfigError, match="even number"):
        TaylorSoftmax(order=order)
