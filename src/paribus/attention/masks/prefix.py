"""UniLM's mask: the first `length` tokens see each other, the rest is causal: kv <= q or kv < length.

length 0 or 1 is the causal mask, the whole sequence the bidirectional one.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.core.config import require


class Prefix(Mask):
    source: ClassVar[str] = "Dong et al., Unified Language Model Pre-training, arXiv:1905.03197"
    length: int | tuple[int, ...] | Tensor  # one for all sequences, or integers (batch,)

    def check(self) -> None:
        each = self._each()
        require(
            len(each) > 0 and min(each) >= 0,
            f"prefix length = {self.length!r}: expected integers from 0 to the length of the sequence",
        )

    def _each(self) -> list[int]:
        if isinstance(self.length, Tensor):
            require(
                self.length.ndim == 1 and not self.length.is_floating_point(),
                f"prefix lengths {tuple(self.length.shape)} of {self.length.dtype}: expected integers (batch,)",
            )
            return [int(one) for one in self.length.tolist()]
        return [self.length] if isinstance(self.length, int) else list(self.length)

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        if isinstance(self.length, int):
            return (kv_idx <= q_idx) | (kv_idx < self.length)
        return (kv_idx <= q_idx) | (kv_idx < torch.as_tensor(self.length, device=b.device)[b])

    def check_size(self, batch: int, length: int) -> None:
        each = self._each()
        require(
            isinstance(self.length, int) or len(each) == batch,
            f"{len(each)} prefix lengths for {batch} sequences: give one a sequence",
        )
        require(
            max(each) <= length,
            f"prefix length {max(each)} is longer than the sequence of {length} tokens",
        )

    @property
    def causal(self) -> bool:
        return max(self._each()) <= 1

    @property
    def names_input(self) -> bool:
        return True


Prefix.examples = (Prefix(length=0), Prefix(length=3), Prefix(length=(0, 4)))
