"""theta / s, which equals positions m / s."""

import torch

from paribus.positions.rotary import Rotary
from paribus.positions.scaling.position_interpolation import PositionInterpolation


def test_all_pairs_slow_down_alike():
    theta = Rotary().frequencies(64)
    torch.testing.assert_close(PositionInterpolation(factor=8)(theta), theta / 8)


def test_it_equals_squeezed_positions():
    x, at = torch.randn(1, 2, 9, 16, dtype=torch.float64), torch.arange(9)[None] * 37
    slow = Rotary(scaling=PositionInterpolation(factor=4)).rotate(x, at)
    torch.testing.assert_close(slow, Rotary().rotate(x, at / 4))
