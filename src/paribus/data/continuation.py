"""Read the first part of a row, say the rest: a source whose rows are an input and its output.

    row      t_1 ... t_g  t_{g+1} ... t_n         g = `given` tokens of input
    targets   .  ...  t_{g+1}  ...  t_{n+1}       loss on the output only, the first of it said after t_g

The batch carries g for every row, so that a model whose mask is InputPrefix may let the input see itself. One that is
causal reads the same rows and is asked for the same targets, so that the two differ in the mask alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from paribus.core.config import digest, require
from paribus.core.seed import generator
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.source import Batches, Source, Stream
from paribus.data.synthetic.copy_task import Copy


class Continuation(Source):
    """The rows of another source with their first tokens as input.

    given: tokens of input, for every row alike or drawn for each row evenly from (least, most), both included; at
    least 1, and at most the length of the rows.
    """

    source: ClassVar[str] = (
        "Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, "
        "arXiv:1910.10683, section 3.2 (prefix LM)"
    )
    of: Source
    given: int | tuple[int, int]

    def check(self) -> None:
        least, most = self.bounds
        require(
            1 <= least <= most,
            f"given = {self.given!r}: expected a number of tokens of at least 1, or (least, most)",
        )

    @property
    def bounds(self) -> tuple[int, int]:
        return (self.given, self.given) if isinstance(self.given, int) else self.given

    @property
    def vocab_size(self) -> int:
        return self.of.vocab_size

    @property
    def chance(self) -> float:
        return self.of.chance

    def prepare(self, folder: Path | None = None) -> "ContinuationStream":
        return ContinuationStream(self, self.of.prepare(folder))

    def open(self, path: Path | None) -> "ContinuationStream":
        return ContinuationStream(self, self.of.open(path))


class ContinuationStream(Stream):
    """Another stream, its rows cut into input and output."""

    def __init__(self, source: Continuation, inner: Stream) -> None:
        self.source, self.inner = source, inner
        self.path = inner.path
        cut = {"of": inner.manifest["digest"], "given": source.given}
        self.manifest: dict[str, Any] = {**inner.manifest, "digest": digest(cut)}

    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> Batches:
        self._check(length)
        return ContinuationBatches(self.source, self.inner.batches(seed, batch, length, span), seed)

    def windows(self, split: str, count: int, length: int, span: int | None = None) -> Batch:
        self._check(length)
        inner = self.inner.windows(split, count, length, span)
        return with_input(inner, self.source, generator("Continuation", "windows", split))

    def _check(self, length: int) -> None:
        most = self.source.bounds[1]
        require(most <= length, f"given = {self.source.given!r} in rows of {length} tokens: give at most the row")


@dataclass(frozen=True)
class ContinuationBatches:
    source: Continuation
    inner: Batches
    seed: int

    def batch(self, step: int) -> Batch:
        return with_input(self.inner.batch(step), self.source, generator("Continuation", "train", self.seed, step))


def with_input(batch: Batch, source: Continuation, random: np.random.Generator) -> Batch:
    """The batch with an input of each row named, and its targets within the input left out."""
    least, most = source.bounds
    rows, width = batch.tokens.shape
    given = random.integers(least, most, size=rows, endpoint=True).clip(max=width)
    within = np.arange(width) < given[:, None] - 1
    targets = np.where(within, IGNORED, batch.targets)
    return Batch(batch.tokens, targets, digest_of(bytes_of(batch.digest), given), given)


def bytes_of(hexadecimal: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(bytes.fromhex(hexadecimal), dtype=np.uint8)


Continuation.examples = (Continuation(of=Copy(), given=5), Continuation(of=Copy(), given=(1, 9)))
