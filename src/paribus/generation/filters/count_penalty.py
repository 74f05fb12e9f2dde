"""x - frequency * count - presence * [count > 0], count = how often the token came so far."""

import math
from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter
from paribus.generation.history import counts


class CountPenalty(Filter):
    source: ClassVar[str] = "OpenAI, Completions API, frequency_penalty and presence_penalty, 2021"
    frequency: float = 0.0
    presence: float = 0.0

    def check(self) -> None:
        for name, value in (("frequency", self.frequency), ("presence", self.presence)):
            require(math.isfinite(value), f"{name} = {value}: expected a number; above 0 repeats less")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        count = counts(seen, logits.shape[-1]).to(logits.dtype)
        return logits - self.frequency * count - self.presence * (count > 0)


CountPenalty.examples = (CountPenalty(frequency=0.5, presence=0.2),)
