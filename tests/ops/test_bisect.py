import torch

from paribus.ops.bisect import bisect


def test_the_bracket_halves_around_the_root() -> None:
    target = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    low, high = bisect(lambda at: target - at, torch.zeros_like(target), torch.ones_like(target), 30)
    assert (low <= target).all()
    assert (target <= high).all()
    torch.testing.assert_close(high - low, torch.full_like(target, 2.0**-30), rtol=1e-12, atol=0)
