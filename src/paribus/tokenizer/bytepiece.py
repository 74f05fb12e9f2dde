"""BytePiece as the tokenizer of a model: a model file named in a configuration."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.tokenizer import Tokenizer

SMALL = "python-1k"


class BytePiece(TextTokenizer):
    """A byte-level unigram tokenizer, from its model file.

    path: a `.bp` file, or "python-1k": 1024 tokens learned from CPython 3.11's standard library, which comes with
        the package.
    sha256: of the file, so that equal configurations read equal tokens; empty means not checked.
    """

    source: ClassVar[str] = (
        "苏剑林, BytePiece：更纯粹、更高压缩率的Tokenizer, 2023-09-07, https://kexue.fm/archives/9752"
    )

    path: str = SMALL
    sha256: str = ""

    def check(self) -> None:
        hexadecimal = len(self.sha256) == 64 and set(self.sha256) <= set("0123456789abcdef")
        require(
            self.sha256 == "" or hexadecimal,
            f"BytePiece.sha256 = {self.sha256!r}: expected 64 hexadecimal digits, or nothing",
        )

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def tokenizer(self) -> Tokenizer:
        """The file, mapped once in a process."""
        return _load(self.path, self.sha256)

    def encode(self, data: bytes) -> npt.NDArray[np.uint32]:
        return self.tokenizer.encode(data)

    def decode(self, ids: npt.ArrayLike) -> bytes:
        return self.tokenizer.decode(np.asarray(ids))


BytePiece.examples = (BytePiece(),)


@lru_cache(maxsize=16)
def _load(path: str, sha256: str) -> Tokenizer:
    file = Path(__file__).with_name(f"{SMALL}.bp") if path == SMALL else Path(path)
    tokenizer = Tokenizer.load(file)
    if sha256:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        require(
            found == sha256,
            f"{path} has the SHA-256 {found}, the configuration expects {sha256}: this is another model; "
            "use the file that the configuration was made with, or change its sha256",
        )
    return tokenizer
