"""Contract of the family: logits (batch, vocab_size) -> tokens int64 (batch,), after the filters, in their order."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from paribus.core.config import Part
from paribus.core.errors import ConfigError
from paribus.generation.filters.base import Filter


class Sampler(Part, ABC):
    filters: tuple[Filter, ...] = ()

    def __call__(self, logits: Tensor, seen: Tensor, uniform: Tensor) -> Tensor:
        """seen int64 (batch, n), the tokens so far, -1 for none; uniform float64 (batch,) in [0, 1): all the chance.

        Raises ConfigError where the filters leave no token, as no filter should.
        """
        for change in self.filters:
            logits = change(logits, seen)
        if self.filters and not bool((logits.amax(dim=-1) > -torch.inf).all()):  # NaN is none either
            raise ConfigError(f"the filters {', '.join(map(str, self.filters))} leave no token: take smaller numbers")
        return self.choose(logits, uniform)

    @abstractmethod
    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The tokens, each row by itself."""
