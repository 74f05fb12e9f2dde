"""Tokenizers that are learned when they are first used: a configuration names the corpus, the method and the size.

What is learned depends on the corpus's train split alone, so a held-out text is held out of the vocabulary as well. It
is kept in the user's cache folder under the digest of the configuration and of the corpus's content.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs
from filelock import FileLock

from paribus.core.config import digest, part_name, require
from paribus.core.errors import CorpusError
from paribus.text.corpora.base import Corpus
from paribus.text.prepare import prepare
from paribus.text.prepared import Prepared
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.vocabulary import write

LONGEST = 36  # bytes of a piece, for every method

Ids = npt.NDArray[np.integer]


class Learned(TextTokenizer, ABC):
    """A tokenizer of at most `size` tokens, all 256 bytes among them, without special tokens.

    corpus: whose train split is learned from.
    size: tokens; ids are in [0, size) and some may stay unused.
    borders: whether tokens end at the borders of words (GPT-2's), or at line ends only.
    limit: bytes to learn from: documents in the order of the split, the last one cut. None is all of it.
    """

    corpus: Corpus
    size: int
    borders: bool = False
    limit: int | None = None

    def check(self) -> None:
        require(self.size >= 256, f"size = {self.size}: expected at least 256, one token for each byte")
        require(self.limit is None or self.limit >= 1, f"limit = {self.limit}: expected at least 1 byte, or None")

    @property
    def vocab_size(self) -> int:
        return self.size

    @abstractmethod
    def learn(self, documents: Sequence[bytes]) -> bytes:
        """The content of a model file."""

    @abstractmethod
    def open(self, path: Path) -> "Engine":
        """Ready for use from what `learn` gave."""

    @property
    def engine(self) -> "Engine":
        return _engine(self)

    def encode(self, data: bytes) -> Ids:
        return self.engine.encode(data)

    def decode(self, ids: npt.ArrayLike) -> bytes:
        return self.engine.decode(np.asarray(ids))


class Engine(ABC):
    """A learned model, open in this process."""

    @abstractmethod
    def encode(self, data: bytes) -> Ids: ...

    @abstractmethod
    def decode(self, ids: npt.NDArray[np.integer]) -> bytes: ...


@lru_cache(maxsize=32)
def _engine(part: Learned) -> Engine:
    prepared = prepare(part.corpus)
    folder = platformdirs.user_cache_path("paribus") / "tokenizers"
    key = digest({"tokenizer": part, "revision": part.revision, "corpus": prepared.digest})[:32]
    path = folder / f"{part_name(type(part))}-{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # learned once, however many processes ask
            if not path.exists():
                write(path, part.learn(documents(prepared, "train", part.limit)))
    except OSError as error:
        raise CorpusError(
            f"cannot keep the tokenizer learned from {part.corpus.name} in {folder}: {error.strerror or error}; "
            "free space there, or set XDG_CACHE_HOME to a folder that you may write"
        ) from error
    return part.open(path)


def documents(prepared: Prepared, split: str, limit: int | None = None) -> list[bytes]:
    """The documents of a split in its order, at most `limit` bytes of them, the last one cut."""
    data, offsets = prepared.split(split), prepared.offsets(split).tolist()
    found: list[bytes] = []
    left = limit
    for begin, end in pairwise(offsets):
        size = end - 1 - begin if left is None else min(left, end - 1 - begin)
        if left is not None:
            left -= size
        if size:
            found.append(data[begin : begin + size].tobytes())
    return found
