"""UniLM's mask: the first `length` tokens see each other, the rest is causal: kv <= q or kv < length.

length 0 or 1 is the causal mask, the whole sequence the bidirectional one.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.core.config import require


class Prefix(Mask):
    source: ClassVar[str] = "Dong et al., Unified Language Model Pre-training, arXiv:1905.03197"
    length: Any  # an int, or int64 (batch,) with one prefix per sequence

    def check(self) -> None:
        shortest = int(self.length.min()) if isinstance(self.length, Tensor) else self.length
        require(
            isinstance(shortest, int) and shortest >= 0,
            f"prefix length = {self.length!r}: expected an integer from 0 to the length of the sequence",
        )

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        length = self.length[b] if isinstance(self.length, Tensor) else self.length
        return (kv_idx <= q_idx) | (kv_idx < length)

    def dense(self, batch: int, heads: int, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        longest = int(torch.as_tensor(self.length).max())
        require(
            longest <= kv_idx.shape[-1],
            f"prefix length {longest} is longer than the sequence of {kv_idx.shape[-1]} tokens",
        )
        return super().dense(batch, heads, q_idx, kv_idx)

    @property
    def causal(self) -> bool:
        return bool((torch.as_tensor(self.length) <= 1).all())


Prefix.examples = (Prefix(length=0), Prefix(length=3))
