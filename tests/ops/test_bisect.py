import torch

from paribus.ops.bisect import bisect, bracketed_newton


def test_the_bracket_halves_around_the_root() -> None:
    target = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    low, high = bisect(lambda at: target - at, torch.zeros_like(target), torch.ones_like(target), 30)
    assert (low <= target).all()
    assert (target <= high).all()
    torch.testing.assert_close(high - low, torch.full_like(target, 2.0**-30), rtol=1e-12, atol=0)


def test_newton_inside_the_bracket_reaches_the_root_from_afar():
    target = torch.tensor([-0.9, 0.0, 0.5, 0.999999], dtype=torch.float64)

    def excess_and_slope(at):
        p = torch.tanh(-at)
        return p - target, p * p - 1

    wide = torch.full_like(target, 500.0)
    found = bracketed_newton(excess_and_slope, -wide, wide)
    torch.testing.assert_close(torch.tanh(-found), target, rtol=0, atol=1e-12)
