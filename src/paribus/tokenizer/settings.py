"""What can be chosen when a vocabulary is trained, and sizes of memory in words."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from paribus.core.config import Part, require
from paribus.core.errors import ConfigError
from paribus.tokenizer.vocabulary import MIN_SIZE

MIN_MEMORY = 256 << 20
MAX_MEMORY = 1 << 50
MAX_SIZE = 1 << 24  # ids of the model file
ORIGINAL = 1  # segmentation as in bytepiece 0.6.3
BACKOFF = 2  # with back-off where the original has minus infinity


class Settings(Part):
    """The vocabulary depends on these and on the corpus alone: not on jobs, memory, batches or the order of documents.

    order: bytes of the longest n-gram, 2 to 6.
    max_piece_length: bytes of the longest piece.
    min_count: n-grams of two bytes and more, and pieces, that come less often are dropped.
    isolate_digits: every decimal digit becomes a piece of its own, in all scripts.
    nfc: compose characters (Unicode NFC) before anything else, in training and in encoding; not lossless.
    segmentation: 2, or 1 for that of bytepiece 0.6.3, where the rest of a line falls into bytes after a rare character.
    """

    order: int = 6
    max_piece_length: int = 36
    min_count: int = 32
    isolate_digits: bool = False
    nfc: bool = False
    segmentation: int = BACKOFF

    def check(self) -> None:
        require(2 <= self.order <= 6, f"order = {self.order}: expected 2 to 6 bytes")
        require(1 <= self.max_piece_length <= 32767, f"max_piece_length = {self.max_piece_length}: expected 1 to 32767")
        require(1 <= self.min_count < 1 << 63, f"min_count = {self.min_count}: expected at least 1, below 2^63")
        require(
            self.segmentation in (ORIGINAL, BACKOFF),
            f"segmentation = {self.segmentation}: expected 1 (as bytepiece 0.6.3) or 2",
        )


def check_sizes(sizes: Sequence[int]) -> list[int]:
    """Vocabulary sizes, the largest first and each once."""
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Iterable):
        raise ConfigError(f"vocabulary sizes = {sizes!r}: expected a list of whole numbers, such as [32000]")
    found = list(sizes)
    require(bool(found), "no vocabulary size given")
    for size in found:
        require(
            isinstance(size, (int, np.integer)) and MIN_SIZE <= size < MAX_SIZE,
            f"vocab_size = {size!r}: expected a whole number, at least {MIN_SIZE}, which is 256 bytes and 3 special "
            "tokens, and below 2^24",
        )
    return sorted({int(size) for size in found}, reverse=True)


def memory_bytes(memory: int | str) -> int:
    """
    >>> memory_bytes("1.5GiB") == 3 << 29
    True
    """
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([KMGT]?)(i?)B?\s*", memory, re.IGNORECASE)
        if not match:
            raise ConfigError(f"memory = {memory!r}: expected a size such as 1GiB, 800MB or a number of bytes")
        base = 1024 if match[3] else 1000
        # Beyond MAX_MEMORY in any unit, and short enough for a whole number.
        size = min(float(match[1]), 2.0 * MAX_MEMORY) * base ** " KMGT".index(match[2].upper() or " ")
        memory = int(size)
    elif not isinstance(memory, (int, np.integer)):
        raise ConfigError(f"memory = {memory!r}: expected a whole number of bytes, or a size such as '1GiB'")
    require(memory >= MIN_MEMORY, f"memory = {memory} bytes: expected at least {MIN_MEMORY >> 20} MiB")
    require(memory <= MAX_MEMORY, f"memory = {memory} bytes: expected at most {MAX_MEMORY >> 40} TiB")
    return int(memory)
