"""A query sees keys of its own document only; `ids` (batch, length) names the document of every token."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask


class Document(Mask):
    source: ClassVar[str] = "Krell et al., Efficient Sequence Packing without Cross-contamination, arXiv:2107.02027"
    ids: Any  # int64 (batch, length), a tensor or nested tuples

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        ids = torch.as_tensor(self.ids, device=q_idx.device)
        return ids[b, q_idx] == ids[b, kv_idx]

    @property
    def causal(self) -> bool:
        return False


Document.examples = (Document(ids=((0, 0, 1, 1, 1, 2, 2),)),)
