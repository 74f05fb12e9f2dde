"""Scores plus sum_i cos((m - n) / 10000^(2i/D)) / (8h/H), i < D/2: what sinusoidal positions alone would score.

No parameter and no rotation. The sum falls with the distance and the ratio 8h/H of head h = 1 .. H sets how fast.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Position


class Sandwich(Position):
    source: ClassVar[str] = (
        "Chi et al., Dissecting Transformer Length Extrapolation via the Lens of Receptive Field Analysis, "
        "arXiv:2212.10356, appendix"
    )
    width: int = 128  # D

    def check(self) -> None:
        require(self.width >= 2 and self.width % 2 == 0, f"width = {self.width}: expected an even number, usually 128")

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        distance = (q_positions[:, None, :, None] - k_positions[:, None, None, :]).abs()
        exponent = torch.arange(0, self.width, 2, dtype=torch.float64, device=distance.device) / self.width
        longest = int(distance.max()) if distance.numel() > 0 else 0
        away = torch.arange(longest + 1, dtype=torch.float64, device=distance.device)
        by_distance = torch.cos(away[:, None] * 10000.0**-exponent).sum(dim=-1).float()
        ratio = torch.arange(1, n_heads + 1, device=distance.device) * (8 / n_heads)
        return by_distance[distance] / ratio[:, None, None]


Sandwich.examples = (Sandwich(), Sandwich(width=6))
