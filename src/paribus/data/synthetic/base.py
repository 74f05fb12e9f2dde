"""The contract of a synthetic task: a generator in, tokens and targets out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.core.config import digest, part_name, require, to_dict
from paribus.core.seed import generator
from paribus.data.batch import Batch, digest_of
from paribus.data.source import Source, Stream
from paribus.text.split import SPLITS

Pair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Synthetic(Source, ABC):
    """A task whose examples are drawn. Every stream is keyed by the task, its use and the step, never shared."""

    @abstractmethod
    def check_length(self, length: int) -> None:
        """Raise ConfigError for a length at which the task cannot be posed."""

    @abstractmethod
    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        """tokens and targets, int64 (batch, length) each, targets IGNORED where nothing is asked."""

    def batch_of(self, random: np.random.Generator, batch: int, length: int) -> Batch:
        """What was drawn as a batch. A task that can be written down in several ways digests what they share."""
        tokens, targets = self.draw(random, batch, length)
        return Batch(tokens, targets, digest_of(tokens, targets))

    def prepare(self, folder: Path | None = None) -> "SyntheticStream":
        return SyntheticStream(self)

    def open(self, path: Path | None) -> "SyntheticStream":
        return SyntheticStream(self)


class SyntheticStream(Stream):
    """A task, ready to draw from; nothing lies on disk."""

    def __init__(self, task: Synthetic) -> None:
        content = {"task": to_dict(task), "revision": task.revision}
        self.task = task
        self.path: None = None
        self.manifest: dict[str, Any] = {"schema": "paribus.synthetic/1", **content, "digest": digest(content)}

    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> "SyntheticBatches":
        _check(self.task, batch, length, span)
        return SyntheticBatches(self.task, seed, batch, length)

    def windows(self, split: str, count: int, length: int, span: int | None = None) -> Batch:
        _check(self.task, count, length, span)
        require(split in SPLITS, f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        return self.task.batch_of(generator(part_name(type(self.task)), "windows", split), count, length)


@dataclass(frozen=True)
class SyntheticBatches:
    task: Synthetic
    seed: int
    n_rows: int
    length: int

    def batch(self, step: int) -> Batch:
        require(step >= 0, f"step {step} must be at least 0")
        random = generator(part_name(type(self.task)), "train", self.seed, step)
        return self.task.batch_of(random, self.n_rows, self.length)


def _check(task: Synthetic, batch: int, length: int, span: int | None) -> None:
    require(batch >= 1 and length >= 1, f"{batch} rows of length {length}: both must be at least 1")
    require(span is None, f"span {span}: a synthetic task has no raw bytes to span; leave it out")
    task.check_length(length)
