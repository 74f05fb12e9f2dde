"""Padding: only keys with `valid` (batch, length) True are seen. A row that sees nothing attends to nothing: zeros."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask, check_tokens


class Visible(Mask):
    source: ClassVar[str] = "Vaswani et al., Attention Is All You Need, arXiv:1706.03762"
    valid: tuple[tuple[bool, ...], ...] | Tensor  # (batch, length)

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return torch.as_tensor(self.valid, dtype=torch.bool, device=kv_idx.device)[b, kv_idx]

    def check_size(self, batch: int, length: int) -> None:
        check_tokens("a table of valid tokens", self.valid, batch, length)

    @property
    def causal(self) -> bool:
        return False


Visible.examples = (Visible(valid=((False, False, True, True, True, True, True),)),)
