"""x / penalty where x > 0 and x * penalty where x < 0, for the tokens seen so far.

As published: it depends on where the zero of the logits lies. CountPenalty does not.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter
from paribus.generation.history import counts


class RepetitionPenalty(Filter):
    source: ClassVar[str] = "Keskar et al., CTRL: A Conditional Transformer Language Model, arXiv:1909.05858"
    penalty: float

    def check(self) -> None:
        require(
            0 < self.penalty < math.inf, f"penalty = {self.penalty}: expected a positive number; above 1 repeats less"
        )

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        weaker = torch.where(logits > 0, logits / self.penalty, logits * self.penalty)
        return torch.where(counts(seen, logits.shape[-1]) > 0, weaker, logits)


RepetitionPenalty.examples = (RepetitionPenalty(penalty=1.3),)
