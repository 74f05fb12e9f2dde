"""Keep the first n ids only: some checkpoints have rows in their output matrix that stand for no token."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter


class Within(Filter):
    source: ClassVar[str] = ""
    n: int  # ids 0 to n - 1 have a meaning

    def check(self) -> None:
        require(self.n >= 1, f"n = {self.n}: expected at least 1 token")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        places = torch.arange(logits.shape[-1], device=logits.device)
        return logits.masked_fill(places >= self.n, -torch.inf)


Within.examples = (Within(n=7), Within(n=1000))
