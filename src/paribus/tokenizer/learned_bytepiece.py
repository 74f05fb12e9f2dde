"""BytePiece, learned from a corpus by its configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.text.corpora.python_docs import PythonDocs
from paribus.tokenizer.learned import LONGEST, Engine, Ids, Learned
from paribus.tokenizer.tokenizer import Tokenizer
from paribus.tokenizer.train import train
from paribus.tokenizer.vocabulary import SPECIALS
from paribus.tokenizer.words import words

# The largest that fills the vocabulary is taken: rare n-grams only add noise.
MIN_COUNTS = (32, 16, 8, 4, 2)
FULL = 0.98


class LearnedBytePiece(Learned):
    """A byte-level unigram vocabulary, cut out by a byte n-gram model.

    min_count: n-grams and pieces that come less often are dropped; None is the largest of 32, 16, 8, 4, 2 with which
        at least 98 % of `size` pieces are found.
    """

    source: ClassVar[str] = (
        "苏剑林, BytePiece：更纯粹、更高压缩率的Tokenizer, 2023-09-07, https://kexue.fm/archives/9752"
    )

    min_count: int | None = None

    def check(self) -> None:
        super().check()
        require(self.min_count is None or self.min_count >= 1, f"min_count = {self.min_count}: expected at least 1")

    def learn(self, documents: Sequence[bytes]) -> bytes:
        texts = [word for text in documents for word in words(text)] if self.borders else list(documents)
        sizes = [self.size + len(SPECIALS)]
        for min_count in MIN_COUNTS if self.min_count is None else (self.min_count,):
            found = train(texts, sizes, min_count=min_count, max_piece_length=LONGEST, jobs=1)[0]
            if found.vocab_size >= FULL * sizes[0]:
                break
        return found.to_bytes()

    def open(self, path: Path) -> Engine:
        return _Pieces(Tokenizer.load(path), self.borders)


class _Pieces(Engine):
    """Ids without the special tokens, which no text has."""

    def __init__(self, tokenizer: Tokenizer, borders: bool) -> None:
        self.tokenizer, self.borders = tokenizer, borders

    def encode(self, data: bytes) -> Ids:
        if self.borders:
            ids = np.concatenate([np.zeros(0, np.uint32), *self.tokenizer.encode_batch(words(data), 1)])
        else:
            ids = self.tokenizer.encode(data)
        return ids - np.uint32(len(SPECIALS))

    def decode(self, ids: npt.NDArray[np.integer]) -> bytes:
        return self.tokenizer.decode(ids.astype(np.int64) + len(SPECIALS))


LearnedBytePiece.examples = (LearnedBytePiece(corpus=PythonDocs(), size=300),)
