"""Bytes as tokens: nothing to train, nothing to lose, the same for every language."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.tokenizer.base import TextTokenizer


class Bytes(TextTokenizer):
    """id = byte, 256 of them.

    >>> Bytes().encode(b"abc").tolist()
    [97, 98, 99]
    """

    source: ClassVar[str] = ""

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, data: bytes) -> npt.NDArray[np.uint8]:
        return np.frombuffer(data, dtype=np.uint8)

    def decode(self, ids: npt.ArrayLike) -> bytes:
        given = np.asarray(ids)
        require(
            given.size == 0 or (given.dtype.kind in "iu" and given.min() >= 0 and given.max() < 256),
            "Bytes.decode expects whole numbers in [0, 256); these are the ids of another tokenizer",
        )
        return given.astype(np.uint8).tobytes()


Bytes.examples = (Bytes(),)
