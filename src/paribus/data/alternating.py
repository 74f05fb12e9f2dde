"""Several sources in turn, a step each: one training on text and on questions, say.

Step s belongs to the source turns[s mod len(turns)], which counts its own steps. Each source has rows of a length of
its own, and as many of them as hold the tokens of a step.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from paribus.core.config import digest, require
from paribus.data.batch import Batch
from paribus.data.source import Batches, Source, Stream
from paribus.data.synthetic.copy_task import Copy
from paribus.data.synthetic.final_question import FinalQuestion


class Alternating(Source):
    """`sources` in the order of `turns`, with rows of `lengths` tokens.

    sources: of one vocabulary. turns: indices of sources, repeated for ever; every source has a turn. lengths: tokens
    of a row of each source, None for the length that is trained at. Held-out windows are those of the first source: by
    its loss a learning rate is chosen.
    """

    source: ClassVar[str] = ""
    sources: tuple[Source, ...]
    turns: tuple[int, ...]
    lengths: tuple[int | None, ...]

    def check(self) -> None:
        n = len(self.sources)
        require(n >= 1, "sources = (): expected at least one")
        sizes = [one.vocab_size for one in self.sources]
        require(len(set(sizes)) == 1, f"sources of {sizes} tokens: expected one vocabulary, set vocab_size")
        require(
            set(self.turns) == set(range(n)),
            f"turns = {self.turns}: expected each of the indices 0 to {n - 1} at least once, and no other",
        )
        require(
            len(self.lengths) == n and all(one is None or one >= 1 for one in self.lengths),
            f"lengths = {self.lengths}: expected {n} numbers of tokens of at least 1, or None",
        )

    @property
    def vocab_size(self) -> int:
        return self.sources[0].vocab_size

    @property
    def chance(self) -> float:
        return self.sources[0].chance

    def prepare(self, folder: Path | None = None) -> "AlternatingStream":
        return AlternatingStream(self, [one.prepare(folder) for one in self.sources])

    def open(self, path: Path | None) -> "AlternatingStream":
        return AlternatingStream(self, [one.open(path) for one in self.sources])


class AlternatingStream(Stream):
    def __init__(self, source: Alternating, streams: list[Stream]) -> None:
        self.source, self.streams = source, streams
        paths = {stream.path for stream in streams if stream.path is not None}
        require(
            len(paths) <= 1, f"{len(paths)} corpora in one Alternating: expected at most one text among its sources"
        )
        self.path = next(iter(paths), None)
        content = [[stream.manifest["digest"] for stream in streams], source.turns, source.lengths]
        self.manifest: dict[str, Any] = {**streams[0].manifest, "digest": digest(content)}

    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> Batches:
        require(span is None, f"span {span}: sources in turn have no bytes in common to span; leave it out")
        each = []
        for stream, own in zip(self.streams, self.source.lengths, strict=True):
            rows = batch if own is None else max(1, batch * length // own)
            each.append(stream.batches(seed, rows, length if own is None else own))
        return AlternatingBatches(self.source.turns, each)

    def windows(self, split: str, count: int, length: int, span: int | None = None) -> Batch:
        return self.streams[0].windows(split, count, length, span)


@dataclass(frozen=True)
class AlternatingBatches:
    turns: tuple[int, ...]
    each: list[Batches]

    def batch(self, step: int) -> Batch:
        cycle, place = divmod(step, len(self.turns))
        whose = self.turns[place]
        own_step = cycle * self.turns.count(whose) + self.turns[:place].count(whose)
        return self.each[whose].batch(own_step)


Alternating.examples = (
    Alternating(sources=(Copy(), FinalQuestion(vocab_size=64, keys=4, values=8)), turns=(0, 1, 1), lengths=(None, 5)),
)
