"""Pair i is (x_{2i}, x_{2i+1}): RoFormer, GPT-J and the original LLaMA release."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.positions.pairing.base import Pairing


class Interleaved(Pairing):
    source: ClassVar[str] = "Su et al., RoFormer, arXiv:2104.09864"

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)

    def half_split_order(self, head_dim: int) -> list[int]:
        return [*range(0, head_dim, 2), *range(1, head_dim, 2)]


Interleaved.examples = (Interleaved(),)
