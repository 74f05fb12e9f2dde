"""Scores minus m_h |m - n|: each head looks as far as its slope lets it, and nothing is rotated.

Slopes m_h = 2^(-8h/H) for h = 1 .. H. When H is no power of two: those of the next lower power P, then every other
slope of 2P heads.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.positions.base import Position


class ALiBi(Position):
    source: ClassVar[str] = "Press et al., Train Short, Test Long: Attention with Linear Biases, arXiv:2108.12409"

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    def slopes(self, n_heads: int) -> list[float]:
        power = 1 << (n_heads.bit_length() - 1)
        lower = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
        between = [2.0 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
        return lower + between[: n_heads - power]

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        distance = (q_positions[:, None, :, None] - k_positions[:, None, None, :]).abs()
        slopes = torch.tensor(self.slopes(n_heads), device=distance.device)
        return -slopes[:, None, None] * distance


ALiBi.examples = (ALiBi(),)
