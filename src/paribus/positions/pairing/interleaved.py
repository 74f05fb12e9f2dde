"""Pair i is (x_{2i}, x_{2i+1}): RoFormer, GPT-J and the original LLaMA release."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.positions.pairing.base import Pairing, in_32_bits


class Interleaved(Pairing):
    source: ClassVar[str] = "Su et al., RoFormer, arXiv:2104.09864"

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return in_32_bits(turn, x, cos, sin)

    def half_split_order(self, head_dim: int) -> list[int]:
        return [*range(0, head_dim, 2), *range(1, head_dim, 2)]


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The rotation as it is written."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)


Interleaved.examples = (Interleaved(),)
