"""What the two iterative forms of top-k do, and what they do not: kept as counter-examples."""

import pytest
import torch

from paribus.ops.iterative import damped_top_k, weighted_top_k


def row(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize("form", [damped_top_k, weighted_top_k])
def test_softmax_at_k_one_and_the_sum(form):
    x = torch.randn(5, 9, dtype=torch.float64)
    scores = x - x.amin(-1, keepdim=True)
    torch.testing.assert_close(form(x, 1, 0.7), torch.softmax(scores / 0.7, -1))
    torch.testing.assert_close(form(x, 4).sum(-1), torch.full((5,), 4.0, dtype=torch.float64))
    torch.testing.assert_close(form(x + 3, 4), form(x, 4))


def test_weights_above_one():
    assert damped_top_k(row(1.1, 0, 0), 2)[0].item() == pytest.approx(1.037, abs=1e-3)


def test_the_order_is_broken():
    x = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    x = x.sort(-1).values
    broken = (damped_top_k(x, 3).diff(dim=-1) < -1e-9).any(-1)
    assert 0.05 < broken.double().mean() < 0.6


def test_the_limits_that_are_no_hard_top_k():
    # Lower, 1 - p is lost in rounding.
    assert weighted_top_k(row(0.3, 0.1, 0, -0.2), 2, 0.01).tolist() == pytest.approx([1.5, 0.5, 0, 0], abs=1e-3)
    assert damped_top_k(row(1, 0), 2, 1e-3).tolist() == pytest.approx([1.5, 0.5], abs=1e-3)
