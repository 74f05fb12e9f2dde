"""Softmax: its formula and the laws of entropy and gradient that scales are argued with."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.normalizers.softmax import Softmax

softmax = Softmax()


def entropy(p: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(p).sum(dim=-1)


def test_formula():
    scores = torch.randn(5, 7, dtype=torch.float64)
    mask = torch.rand(5, 7) < 0.6
    weights = scores.exp() * mask
    torch.testing.assert_close(softmax(scores, mask), weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-300))


@given(st.integers(1, 200), st.floats(0, 20), st.integers(0, 99))
def test_entropy_is_at_least_log_n_minus_the_gap(n, strength, seed):
    """H >= ln n - lambda (s_max - mean s), with equality at lambda = 0."""
    s = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bound = math.log(n) - strength * float(s.max() - s.mean())
    found = float(entropy(softmax(strength * s)))
    assert found >= bound - 1e-9
    if strength == 0:
        assert abs(found - bound) < 1e-12


def test_entropy_falls_with_the_strength():
    """dH / dlambda = -lambda Var_p(s)."""
    s = torch.randn(63, dtype=torch.float64)
    for strength in (0.0, 0.5, 2.0, 8.0):
        at = torch.tensor(strength, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(entropy(softmax(at * s)), at)
        p = softmax(strength * s)
        variance = (p * s**2).sum() - (p * s).sum() ** 2
        torch.testing.assert_close(slope, -strength * variance)


def test_the_size_of_the_jacobian():
    """Half the sum of |dp_i / ds_j| is alpha (1 - sum p^2)."""
    s = torch.randn(31, dtype=torch.float64)
    for alpha in (0.1, 1.0, 4.0):
        jacobian = torch.autograd.functional.jacobian(lambda s, alpha=alpha: softmax(alpha * s), s)
        p = softmax(alpha * s)
        torch.testing.assert_close(0.5 * jacobian.abs().sum(), alpha * (1 - p.square().sum()))
