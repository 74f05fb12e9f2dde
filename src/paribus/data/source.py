"""The contract of what a model is trained on: real text or a synthetic task, by the same calls.

    stream = source.prepare()              # once, in the parent: reads a corpus, or does nothing
    stream = source.open(stream.path)      # in each worker: cheap
    batches = stream.batches(seed=0, batch=32, length=64)
    batches.batch(step)                    # a pure function of (seed, step)
    stream.windows("test", count=512, length=512)

A configuration travels between processes, a stream does not.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

from paribus.core.config import Part
from paribus.data.batch import Batch


class Batches(Protocol):
    """The training batches of one seed."""

    def batch(self, step: int) -> Batch:
        """The batch of this step, step >= 0: the same whenever and wherever it is asked for."""


class Stream(ABC):
    """A source, opened for reading.

    path: what `Source.open` needs in another process; None where nothing lies on disk.
    manifest: what was read, for the plan and the report; `manifest["digest"]` (64 hexadecimal digits) is a function
        of the content alone, and results with different digests are never pooled.
    """

    path: Path | None
    manifest: dict[str, Any]

    @abstractmethod
    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> Batches:
        """The training batches of a seed, rows of at most `length` tokens.

        batch: spans per step. span: raw bytes per span, for text only; length + 1 by default. Arms whose tokenizers
        or lengths differ read the same bytes in the same order when seed, batch and span are the same.
        """

    @abstractmethod
    def windows(self, split: str, count: int, length: int, span: int | None = None) -> Batch:
        """Fixed windows of a held-out split ("dev" or "test"), the same for every arm and seed."""


class Source(Part, ABC):
    """What a model is trained on, as a configuration."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Tokens and targets are in [0, vocab_size)."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """Accuracy of a guess among the possible targets, in (0, 1]: what a diverged run counts as."""

    @property
    def content(self) -> "Source":
        """What is told, however it is written down: sources of equal content have rows of equal meaning, one for one.

        Their batches have equal digests. Arms of one claim may read such sources, and no others.
        """
        return self

    @abstractmethod
    def prepare(self, folder: Path | None = None) -> Stream:
        """Do what must be done once and open the result. folder: where prepared corpora are kept."""

    @abstractmethod
    def open(self, path: Path | None) -> Stream:
        """Open what `prepare` left at its stream's `path`, without reading the corpus again."""
