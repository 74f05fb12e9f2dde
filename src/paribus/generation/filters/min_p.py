"""Keep the tokens that are at least p times as likely as the most likely one."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter


class MinP(Filter):
    source: ClassVar[str] = "Nguyen et al., Turning Up the Heat: Min-p Sampling, arXiv:2407.01082"
    p: float

    def check(self) -> None:
        require(0 < self.p <= 1, f"p = {self.p}: expected a share of the highest probability, in (0, 1]")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        # A ratio of probabilities is a difference of logits: no softmax is needed.
        lowest = logits.amax(dim=-1, keepdim=True) + math.log(self.p)
        return logits.masked_fill(logits < lowest, -torch.inf)


MinP.examples = (MinP(p=0.05), MinP(p=1.0))
