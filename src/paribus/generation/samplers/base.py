"""Contract of the family: logits (batch, vocab_size) -> tokens int64 (batch,), after the filters, in their order."""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part
from paribus.generation.filters.base import Filter


class Sampler(Part, ABC):
    filters: tuple[Filter, ...] = ()

    def __call__(self, logits: Tensor, seen: Tensor, uniform: Tensor) -> Tensor:
        """seen int64 (batch, n), the tokens so far, -1 for none; uniform float64 (batch,) in [0, 1): all the chance."""
        for change in self.filters:
            logits = change(logits, seen)
        return self.choose(logits, uniform)

    @abstractmethod
    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The tokens, each row by itself."""
