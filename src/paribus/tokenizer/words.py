"""Where text may be cut into tokens at all: at line ends only, or also at the borders of words."""

import re
from collections.abc import Sequence

# GPT-2's words (Radford et al. 2019), in Python's classes: a letter is a word character that is no digit and no
# underscore; a space before a word belongs to it.
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
_LINES = re.compile(rb"[^\n]*\n+|[^\n]+")


def words(data: bytes) -> list[bytes]:
    """The words of a text, which joined are the text again, whatever its bytes are.

    >>> words(b"It's 12 o'clock\\n")
    [b'It', b"'s", b' 12', b' o', b"'", b'clock', b'\\n']
    """
    text = data.decode("utf-8", "surrogateescape")
    return [word.encode("utf-8", "surrogateescape") for word in _WORDS.findall(text)]


def lines(data: bytes) -> list[bytes]:
    """Runs without newlines and the newlines behind them: where BytePiece cuts in any case.

    >>> lines(b"one\\n\\ntwo")
    [b'one\\n\\n', b'two']
    """
    return _LINES.findall(data)


def stretches(data: bytes, borders: bool) -> Sequence[bytes]:
    """What a token never reaches beyond: words if their borders hold, else lines."""
    return words(data) if borders else lines(data)
