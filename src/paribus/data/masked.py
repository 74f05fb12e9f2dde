"""Tokens to be told from both sides: a share of a source's tokens is hidden, and only these are asked for.

A hidden token reads as one extra token, the last of the vocabulary; which are hidden is a function of the batch alone,
so that all arms see the same holes. The mix of masked, random and kept tokens of BERT is left away: it prepares for
fine-tuning, which is not done here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from paribus.core.config import digest, require, to_dict
from paribus.core.seed import generator
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Batches, Source, Stream
from paribus.data.synthetic.copy_task import Copy


class Masked(Source):
    """The tokens of another source with holes; a target is the token that stood in the hole.

    share: probability of a token to be hidden, in (0, 1).
    """

    source: ClassVar[str] = "Devlin et al., BERT, arXiv:1810.04805"
    of: Source
    share: float = 0.15

    def check(self) -> None:
        require(0 < self.share < 1, f"Masked.share = {self.share}: expected a probability above 0 and below 1")

    @property
    def vocab_size(self) -> int:
        return self.of.vocab_size + 1

    @property
    def chance(self) -> float:
        return self.of.chance

    def prepare(self, folder: Path | None = None) -> "MaskedStream":
        return MaskedStream(self, self.of.prepare(folder))

    def open(self, path: Path | None) -> "MaskedStream":
        return MaskedStream(self, self.of.open(path))


class MaskedStream(Stream):
    """A source, ready to be read with holes."""

    def __init__(self, task: Masked, inner: Stream) -> None:
        self.task, self.inner = task, inner
        self.path = inner.path
        content = {"masked": to_dict(task), "revision": task.revision, "of": inner.manifest["digest"]}
        self.manifest: dict[str, Any] = inner.manifest | {"masked": task.share, "digest": digest(content)}

    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> Batches:
        return MaskedBatches(self.task, self.inner.batches(seed, batch, length, span))

    def windows(self, split: str, count: int, length: int, span: int | None = None) -> Batch:
        return with_holes(self.inner.windows(split, count, length, span), self.task)


@dataclass(frozen=True)
class MaskedBatches:
    task: Masked
    inner: Batches

    def batch(self, step: int) -> Batch:
        return with_holes(self.inner.batch(step), self.task)


def with_holes(batch: Batch, task: Masked) -> Batch:
    """At least one token of a batch is hidden; tokens that have no target of their own (padding) never are."""
    random = generator("masked", batch.digest)
    hidden = (random.random(batch.tokens.shape) < task.share) & (batch.targets != IGNORED)
    if not hidden.any():
        hidden.flat[int(random.integers(hidden.size))] = True
    tokens, targets = batch.tokens.copy(), batch.tokens.copy()
    tokens[hidden] = task.of.vocab_size
    targets[~hidden] = IGNORED
    return Batch(tokens, targets, batch.digest)


Masked.examples = (Masked(of=Copy()), Masked(of=Copy(), share=0.5))
