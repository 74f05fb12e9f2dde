"""Keep the k highest logits, and those equal to the lowest of them."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter


class TopK(Filter):
    source: ClassVar[str] = "Fan, Lewis and Dauphin, Hierarchical Neural Story Generation, arXiv:1805.04833"
    k: int

    def check(self) -> None:
        require(self.k >= 1, f"k = {self.k}: expected at least 1 token")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        if self.k >= logits.shape[-1]:
            return logits
        lowest = logits.topk(self.k, dim=-1).values[:, -1:]
        return logits.masked_fill(logits < lowest, -torch.inf)


TopK.examples = (TopK(k=1), TopK(k=5), TopK(k=1000))
