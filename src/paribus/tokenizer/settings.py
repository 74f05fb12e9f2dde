"""What can be chosen when a vocabulary is trained, and sizes of memory in words."""

import re

from paribus.core.config import Part, require
from paribus.core.errors import ConfigError
from paribus.tokenizer.vocabulary import MIN_SIZE

MIN_MEMORY = 256 << 20
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
        require(self.min_count >= 1, f"min_count = {self.min_count}: expected at least 1")
        require(
            self.segmentation in (ORIGINAL, BACKOFF),
            f"segmentation = {self.segmentation}: expected 1 (as bytepiece 0.6.3) or 2",
        )


def check_sizes(sizes: list[int]) -> list[int]:
    """Vocabulary sizes, the largest first and each once."""
    require(bool(sizes), "no vocabulary size given")
    for size in sizes:
        require(
            size >= MIN_SIZE,
            f"vocab_size = {size}: expected at least {MIN_SIZE}, which is 256 bytes and 3 special tokens",
        )
    return sorted(set(sizes), reverse=True)


def memory_bytes(memory: int | str) -> int:
    """
    >>> memory_bytes("1.5GiB") == 3 << 29
    True
    """
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]?)(i?)B?\s*", memory, re.IGNORECASE)
        if not match:
            raise ConfigError(f"memory = {memory!r}: expected a size such as 1GiB, 800MB or a number of bytes")
        base = 1024 if match[3] else 1000
        memory = int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))
    require(memory >= MIN_MEMORY, f"memory = {memory} bytes: expected at least {MIN_MEMORY >> 20} MiB")
    return memory
