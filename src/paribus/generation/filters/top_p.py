"""Keep the fewest tokens whose probabilities sum to p or more, the most likely first, of equal ones the smaller id."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter
from paribus.generation.odds import odds


class TopP(Filter):
    source: ClassVar[str] = "Holtzman et al., The Curious Case of Neural Text Degeneration, arXiv:1904.09751"
    p: float

    def check(self) -> None:
        require(0 < self.p <= 1, f"p = {self.p}: expected a probability in (0, 1]")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        if self.p == 1:
            return logits
        sorted_logits, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = odds(sorted_logits)
        # What stands before a token, so that the one that reaches p is kept and the first always.
        before = probabilities.cumsum(dim=-1) - probabilities
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= self.p)
        return logits.masked_fill(dropped, -torch.inf)


TopP.examples = (TopP(p=0.9), TopP(p=1e-6), TopP(p=1.0))
