"""The contract of what turns raw bytes into the numbers that a model reads."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from paribus.core.config import Part


class Codec(Protocol):
    """What turns bytes into ids and back: a tokenizer that is a part of a configuration, or one of a checkpoint."""

    def encode(self, data: bytes) -> npt.NDArray[np.integer]: ...

    def decode(self, ids: npt.ArrayLike) -> bytes: ...


class TextTokenizer(Part, ABC):
    """Bytes to token ids and back, without loss: decode(encode(data)) == data for all bytes.

    An id stands for at least one byte, so that n bytes are at most n ids.
    """

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Ids are in [0, vocab_size)."""

    @abstractmethod
    def encode(self, data: bytes) -> npt.NDArray[np.integer]:
        """The ids of the bytes, shape (n,)."""

    @abstractmethod
    def decode(self, ids: npt.ArrayLike) -> bytes:
        """The bytes of the ids. Raises ConfigError for an id outside [0, vocab_size)."""
