"""Text as a source: spans of a corpus's raw bytes, in one order for all arms, through any tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.core.errors import CorpusError
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.order import BatchOrder
from paribus.data.source import Batches, Source, Stream
from paribus.text.corpora.base import Corpus
from paribus.text.corpora.python_docs import PythonDocs
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.text.prepare import prepare
from paribus.text.prepared import Prepared
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.bytes import Bytes


class Text(Source):
    """The bytes of a corpus, cut into spans; each span becomes tokens, and each token is to be told from those before.

    Documents follow one another with a byte 0xFF between, and a span may cross it.
    """

    source: ClassVar[str] = ""
    corpus: Corpus
    tokenizer: TextTokenizer = Bytes()

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def chance(self) -> float:
        return 1 / self.tokenizer.vocab_size

    def prepare(self, folder: Path | None = None) -> "TextStream":
        return TextStream(prepare(self.corpus, folder), self.tokenizer)

    def open(self, path: Path | None) -> "TextStream":
        if path is None:
            raise CorpusError("a text source is opened by the path of its prepared corpus: call prepare() first")
        return TextStream(Prepared.open(path), self.tokenizer)


Text.examples = (Text(corpus=PythonStdlib()), Text(corpus=PythonDocs()))


class TextStream(Stream):
    """A prepared corpus read through a tokenizer."""

    def __init__(self, prepared: Prepared, tokenizer: TextTokenizer) -> None:
        self.prepared, self.tokenizer = prepared, tokenizer
        self.path: Path = prepared.path
        self.manifest: dict[str, Any] = prepared.manifest

    def batches(self, seed: int, batch: int, length: int, span: int | None = None) -> Batches:
        data, span = self.prepared.split("train"), _span(length, span)
        return TextBatches(data, BatchOrder(len(data), span, batch, seed), length, self.tokenizer)

    def windows(self, split: str, count: int, length: int, span: int | None = None, judged: int | None = None) -> Batch:
        """Windows evenly spread over the split, which overlap only if they would not all fit side by side.

        Their last bytes do not depend on how many tokens a reader is shown: for less context, cut rows on the left.
        span: bytes; None is as many as `length` tokens and the one after them take, which is one more for bytes.
        judged: bytes at the end of each window; only tokens that begin in them are targets, and the bytes that these
        stand for are counted. Rows are then as long as they come, so length must be at least the span.
        """
        require(count >= 1, f"count {count} must be at least 1")
        if span is None and judged is None and not isinstance(self.tokenizer, Bytes):
            return self._windows_of_tokens(split, count, length)
        data, span = self.prepared.split(split), _span(length, span)
        if len(data) - span + 1 < count:
            raise CorpusError(
                f"the {split} split has {len(data)} bytes, too few for {count} different windows of {span} bytes: "
                "take a larger corpus, fewer windows or a smaller length"
            )
        starts = np.linspace(0, len(data) - span, count).astype(np.int64)
        raw = _take(data, starts, span)
        if judged is None:
            return rows(raw, length, self.tokenizer)
        require(1 <= judged <= span <= length, f"judged = {judged}: expected 1 to {span}, and no row cut at {length}")
        return judged_rows(raw, judged, self.tokenizer)

    def _windows_of_tokens(self, split: str, count: int, length: int) -> Batch:
        """Windows whose last `length` tokens and the one after them are shown, of as many bytes as that takes."""
        span = 2 * _span(length, None)
        while True:
            whole = self.windows(split, count, span, span)
            kept = (whole.targets != IGNORED).sum(axis=1)
            if kept.min() >= length:
                break
            span *= 2
        tokens = np.stack([row[n - length : n] for row, n in zip(whole.tokens, kept)])
        targets = np.stack([row[n - length : n] for row, n in zip(whole.targets, kept)])
        return Batch(tokens, targets, whole.digest)


@dataclass(frozen=True)
class TextBatches:
    """Batches of spans, gathered from the mapped file as they are asked for."""

    data: npt.NDArray[np.uint8]
    order: BatchOrder
    length: int
    tokenizer: TextTokenizer

    def batch(self, step: int) -> Batch:
        return rows(_take(self.data, self.order.starts(step), self.order.span), self.length, self.tokenizer)


def rows(raw: npt.NDArray[np.uint8], length: int, tokenizer: TextTokenizer) -> Batch:
    """Spans of raw bytes (batch, span) as rows of at most `length` tokens, each target the token that follows.

    The tokens t_0 ... t_n of a span give n pairs (t_i, t_{i+1}), laid out in rows of `length`, the last one padded on
    the right with token 0 and target IGNORED; so a span that is longer than a row is read whole. Columns that would
    be padding in every row are left out.
    """
    n = raw.shape[1] - 1
    if isinstance(tokenizer, Bytes) and n % length == 0 and n > 0:
        tokens, targets = raw[:, :-1].reshape(-1, length), raw[:, 1:].reshape(-1, length)
        return Batch(tokens.astype(np.int64), targets.astype(np.int64), digest_of(raw))
    return padded_rows(raw, length, tokenizer)


def padded_rows(raw: npt.NDArray[np.uint8], length: int, tokenizer: TextTokenizer) -> Batch:
    """`rows` for any tokenizer; the specification of the short cut for bytes."""
    pieces = []
    for span in raw:
        ids = tokenizer.encode(span.tobytes()).astype(np.int64)
        tokens, targets = (ids[:-1], ids[1:]) if len(ids) > 1 else (ids, np.full(1, IGNORED))
        pieces += [(tokens[i : i + length], targets[i : i + length]) for i in range(0, len(tokens), length)]
    width = max(len(tokens) for tokens, _ in pieces)
    batch = Batch(np.zeros((len(pieces), width), np.int64), np.full((len(pieces), width), IGNORED), digest_of(raw))
    for row, (tokens, targets) in enumerate(pieces):
        batch.tokens[row, : len(tokens)], batch.targets[row, : len(targets)] = tokens, targets
    return batch


def judged_rows(raw: npt.NDArray[np.uint8], judged: int, tokenizer: TextTokenizer) -> Batch:
    """Spans as one row each, of which only tokens that begin in the last `judged` bytes are targets."""
    batch = padded_rows(raw, raw.shape[1], tokenizer)
    lengths: dict[int, int] = {}
    counted = 0
    for span, targets in zip(raw, batch.targets):
        at = 0
        for place, token in enumerate(tokenizer.encode(span.tobytes()).tolist()):
            size = lengths.get(token)
            if size is None:
                size = lengths[token] = len(tokenizer.decode([token]))
            if place > 0:
                if at < raw.shape[1] - judged:
                    targets[place - 1] = IGNORED
                else:
                    counted += size
            at += size
    return batch._replace(judged_bytes=counted)


def _span(length: int, span: int | None) -> int:
    require(length >= 1, f"length {length} must be at least 1")
    span = length + 1 if span is None else span
    require(span >= 2, f"span {span} must be at least 2 bytes: one to read and one to tell")
    return span


def _take(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.uint8]:
    """The bytes at [start, start + span) of every start, (batch, span)."""
    return np.lib.stride_tricks.sliding_window_view(data, span)[starts]
