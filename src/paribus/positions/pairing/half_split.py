"""Pair i is (x_i, x_{i + d/2}): GPT-NeoX and every Llama-like checkpoint in Hugging Face format."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.positions.pairing.base import Pairing


class HalfSplit(Pairing):
    source: ClassVar[str] = "Black et al., GPT-NeoX-20B, arXiv:2204.06745"

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def half_split_order(self, head_dim: int) -> list[int]:
        return list(range(head_dim))


HalfSplit.examples = (HalfSplit(),)
