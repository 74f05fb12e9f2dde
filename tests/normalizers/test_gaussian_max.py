import math

import pytest
import torch
from scipy import integrate, stats

from paribus.core.errors import ConfigError
from paribus.normalizers.gaussian_max import GaussianMax


def test_two_keys_in_closed_form():
    """P(x1 + e1 > x2 + e2) = Phi(d / (scale sqrt 2))."""
    for lead in (0.0, 0.5, 3.0, 9.0):
        p = GaussianMax(scale=1.5)(torch.tensor([lead, 0.0], dtype=torch.float64))
        expected = stats.norm.cdf([lead, -lead], scale=1.5 * math.sqrt(2))
        assert p.tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def test_adaptive_quadrature():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    for i, p in enumerate(GaussianMax()(x).tolist()):

        def density(t, i=i):
            others = [stats.norm.cdf(t - x[j].item()) for j in range(5) if j != i]
            return stats.norm.pdf(t - x[i].item()) * math.prod(others)

        assert p == pytest.approx(integrate.quad(density, -12, 15, epsabs=1e-12)[0], abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 33, 5001])
def test_the_integral_of_a_row_is_one_without_being_divided(n):
    x = torch.randn(2, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) * 3
    torch.testing.assert_close(GaussianMax()(x).sum(-1), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [3, 10, 11, 300, 301, 10_000, 200_000])
def test_so_it_is_of_equal_scores_whose_maximum_is_narrow(n):
    """A grid as coarse as for two keys would lose 1e-8 of 100, and 8e-4 of 100,000."""
    torch.testing.assert_close(GaussianMax()(torch.zeros(n, dtype=torch.float64)).sum().item(), 1.0, rtol=0, atol=1e-12)


def test_draws():
    member = GaussianMax(scale=0.8)
    scores, mask = torch.tensor([0.3, -1.0, 0.0, 1.2, 5.0]), torch.tensor([True, True, True, True, False])
    drawn = member.sample(scores.expand(300_000, 5), mask, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=5)
    assert counts[4] == 0
    expected = member(scores.double(), mask)[:4] * 300_000
    assert stats.chisquare(counts[:4].numpy(), expected.numpy()).pvalue > 1e-3


def test_the_scale():
    with pytest.raises(ConfigError, match="scale"):
        GaussianMax(scale=-1.0)
