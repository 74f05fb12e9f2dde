"""Contract of the family: a model and fixed held-out windows in, named numbers out.

A window is a stretch of held-out data, the same for every arm and seed. A name says what was measured and at which
context length, such as `accuracy@512`.
"""

from abc import ABC, abstractmethod

from torch import nn

from paribus.core.config import Part
from paribus.data.batch import Batch
from paribus.data.source import Source, Stream


class Metric(Part, ABC):
    windows: int = 128  # held-out windows, spread evenly over the split

    @property
    @abstractmethod
    def longest(self) -> int:
        """Tokens of a window."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What `measure` returns, in order."""

    @abstractmethod
    def unit(self, name: str) -> str:
        """The unit of one of the names, such as "nats per token"."""

    @abstractmethod
    def lower_is_better(self, name: str) -> bool: ...

    @abstractmethod
    def worst(self, name: str, source: Source) -> float:
        """What a diverged run counts as: ln(vocabulary), chance accuracy."""

    def held_out(self, stream: Stream, split: str = "test") -> Batch:
        """The windows that `measure` reads."""
        return stream.windows(split, self.windows, self.longest)

    @abstractmethod
    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]: ...

    def tokens_read(self) -> int:
        """Tokens that one measurement reads, for the price of a plan."""
        return self.windows * self.longest
