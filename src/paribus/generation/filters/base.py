"""Contract of the family: logits (batch, vocab_size) -> logits, a token that is ruled out at minus infinity.

A filter leaves every row at least one token, and treats each row by itself.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part


class Filter(Part, ABC):
    @abstractmethod
    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        """seen: int64 (batch, n), the tokens of prompt and answer so far in their order; -1 stands for none."""
