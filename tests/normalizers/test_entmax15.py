import pytest
import torch

from paribus.normalizers.alpha_entmax import AlphaEntmax
from paribus.normalizers.entmax15 import Entmax15


def test_ties_that_leave_the_published_rule_without_an_answer():
    for row, expected in (([2.0, 0.0], [1.0, 0.0]), ([2.0, 0.0, -5.0], [1.0, 0.0, 0.0]), ([3.0, 3.0], [0.5, 0.5])):
        assert Entmax15()(torch.tensor(row)).tolist() == pytest.approx(expected, abs=1e-6)


def by_published_rule(x):
    """z = x / 2 sorted, lambda_k = mean - sqrt(1/k - variance); the k with z_(k) > lambda_k > z_(k + 1), strictly."""
    z = (x / 2).sort(descending=True).values
    k = torch.arange(1, len(z) + 1, dtype=x.dtype)
    mean = z.cumsum(0) / k
    tau = mean - (1 / k - ((z**2).cumsum(0) / k - mean**2)).clamp_min(0).sqrt()
    after = torch.cat([z[1:], z.new_tensor([-torch.inf])])
    return tau[(z > tau) & (tau > after)]


def test_the_published_rule_finds_no_threshold_under_ties():
    assert by_published_rule(torch.tensor([2.0, 0.0], dtype=torch.float64)).numel() == 0
    assert by_published_rule(torch.tensor([2.0, 0.0, -5.0], dtype=torch.float64)).numel() == 0
    whole = torch.randn(1000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(3).round()
    failed = [by_published_rule(row).numel() != 1 for row in whole]
    assert sum(failed) > 20
    assert Entmax15()(whole).sum(-1).sub(1).abs().max() < 1e-12
    # Where it does find one, it is ours.
    row = torch.tensor([1.0, 0.3, -0.2], dtype=torch.float64)
    torch.testing.assert_close((row / 2 - by_published_rule(row)).clamp_min(0) ** 2, Entmax15()(row))


def test_two_keys_in_closed_form():
    """p1 = (u + v)^2 with u = d/4, v = sqrt(1/2 - u^2), for a lead of d <= 2."""
    for lead in (0.0, 0.3, 1.7):
        u = lead / 4
        expected = (u + (0.5 - u * u) ** 0.5) ** 2
        found = float(Entmax15()(torch.tensor([lead, 0.0], dtype=torch.float64))[0])
        assert found == pytest.approx(expected, abs=1e-12)


def test_negentropy_is_what_it_maximises():
    scores = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    others = torch.distributions.Dirichlet(torch.full((6,), 0.4, dtype=torch.float64)).sample((2000,))
    for member in (Entmax15(), AlphaEntmax(alpha=1.2), AlphaEntmax(alpha=1.8)):
        p = member(scores)
        best = p @ scores - member.negentropy(p)
        assert (best >= others @ scores - member.negentropy(others)).all()
        assert member.negentropy(torch.eye(6)).abs().max() < 1e-6
    torch.testing.assert_close(Entmax15().negentropy(others), AlphaEntmax(alpha=1.5).negentropy(others))
