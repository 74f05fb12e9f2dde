"""A query sees keys of its own document only; `ids` (batch, length) names the document of every token."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask, check_tokens


class Document(Mask):
    source: ClassVar[str] = "Krell et al., Efficient Sequence Packing without Cross-contamination, arXiv:2107.02027"
    ids: tuple[tuple[int, ...], ...] | Tensor  # integers (batch, length)

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        ids = torch.as_tensor(self.ids, device=q_idx.device)
        return ids[b, q_idx] == ids[b, kv_idx]

    def check_size(self, batch: int, length: int) -> None:
        check_tokens("document ids", self.ids, batch, length)

    @property
    def causal(self) -> bool:
        return False


Document.examples = (Document(ids=((0, 0, 1, 1, 1, 2, 2),)),)
