"""Encoding and decoding as the data comes in, with the same result as all at once."""

import codecs
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from paribus.tokenizer import _native
from paribus.tokenizer.text import decode as decode_ids
from paribus.tokenizer.text import to_bytes


class Encoder:
    """Bytes in parts; the tokens that no later byte can change come out.

    A part may end anywhere, also inside a character. Open bytes are kept until the best paths to all of the last
    positions share their past: usually a few, in the worst case (a long run of one byte) the whole line.

    >>> encoder = tokenizer.encoder()  # doctest: +SKIP
    >>> ids = [*encoder.feed("one "), *encoder.feed("two"), *encoder.finish()]  # doctest: +SKIP
    """

    def __init__(self, model: _native.Model) -> None:
        self._stream = _native.Stream(model)

    def feed(self, data: bytes | str) -> npt.NDArray[np.uint32]:
        return self._stream.feed(to_bytes(data))

    def finish(self) -> npt.NDArray[np.uint32]:
        """The rest; the encoder is then ready for another document."""
        return self._stream.finish()

    @property
    def pending(self) -> int:
        """Bytes taken whose tokens are not given yet."""
        return self._stream.pending


class Decoder:
    """Token ids in parts; only whole characters come out, a character in the making waits.

    errors: as in bytes.decode, for bytes that can no longer become UTF-8 ("strict" raises UnicodeDecodeError).
    """

    def __init__(self, model: _native.Model, errors: str = "strict") -> None:
        self._model = model
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)

    def feed(self, ids: int | np.integer | Iterable[int] | npt.NDArray[np.integer]) -> str:
        one = isinstance(ids, (int, np.integer))
        return self._utf8.decode(decode_ids(self._model, [ids] if one else ids))  # type: ignore[list-item, arg-type]

    def finish(self) -> str:
        """What is left, which is not empty only if the text ended inside a character and errors allows that."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
