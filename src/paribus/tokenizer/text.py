"""Between Python's strings and arrays and the core's bytes and ids, with errors that say what came."""

import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from paribus.core.errors import ConfigError, InputError
from paribus.tokenizer import _native


def to_bytes(text: bytes | bytearray | memoryview | str) -> bytes:
    """UTF-8 of a string; bytes, also those of a bytearray, memoryview or array of bytes, as they are.

    Raises InputError for lone surrogates, ConfigError for anything else, arrays of numbers too.
    """
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the text has the lone surrogate U+{ord(text[error.start]):04X} at {error.start}, which has no UTF-8 "
                "form; pass bytes, for example text.encode('utf-8', 'surrogatepass')"
            ) from error
    try:
        view = memoryview(text)
    except TypeError as error:
        raise ConfigError(f"expected text as str or bytes, got {type(text).__name__}") from error
    if view.ndim != 1 or view.format not in ("B", "b", "c"):
        raise ConfigError(
            f"expected text as str or bytes, got {type(text).__name__} with elements of the format {view.format!r} and "
            f"shape {view.shape}: decode gives the text of token ids"
        )
    return bytes(view)


def compose(data: bytes) -> bytes:
    """Unicode NFC of each stretch of valid UTF-8; other bytes stay as they are (`reference.compose` is the twin)."""
    # Bytes that are no UTF-8 become lone surrogates, which compose with nothing, and again these bytes.
    text = data.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def to_ids(ids: Iterable[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.uint32]:
    """Whole numbers of [0, 2^32) as a contiguous array, shape (n,)."""
    try:
        given = ids if isinstance(ids, np.ndarray) else np.asarray(list(ids))
    except TypeError as error:
        raise ConfigError(f"expected a list of token ids, got {ids!r}: put a single one into a list") from error
    if given.size == 0:
        return np.zeros(0, dtype=np.uint32)
    if given.dtype == object and all(isinstance(one, int) for one in given.flat):
        raise ConfigError(f"token ids are whole numbers from 0 to {0xFFFFFFFF}, got {max(given.flat, key=abs)}")
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise ConfigError(f"expected a list of token ids, got an array of {given.dtype} with shape {given.shape}")
    if given.dtype != np.uint32 and (int(given.min()) < 0 or int(given.max()) > 0xFFFFFFFF):
        raise ConfigError(f"token ids are whole numbers from 0 on, got {given.min()} to {given.max()}")
    return np.ascontiguousarray(given, dtype=np.uint32)


def decode(model: _native.Model, ids: Iterable[int] | npt.NDArray[np.integer]) -> bytes:
    """The pieces joined; special tokens stand for no bytes. Raises ConfigError for unknown ids."""
    try:
        return model.decode(ids)  # type: ignore[arg-type]  # an array of uint32 needs no look at it
    except TypeError:
        pass
    except IndexError as error:
        raise _unknown(error) from error
    try:
        return model.decode(to_ids(ids))
    except IndexError as error:
        raise _unknown(error) from error


def _unknown(error: IndexError) -> ConfigError:
    return ConfigError(f"{error}: these are the ids of another tokenizer")
