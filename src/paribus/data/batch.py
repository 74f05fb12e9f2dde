"""What one training step reads."""

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IGNORED = -100  # a target where no loss is taken; torch's own ignore_index


class Batch(NamedTuple):
    """tokens, targets: int64 (batch, length); targets[b, t] is what the model should say after tokens[b, : t + 1],
    or IGNORED. The first prefix[b] tokens of row b may be shown to each other: no target before the last of them
    counts.

    digest: blake2b-128 of the raw bytes that the batch was made of, before any tokenizer; arms that read the same
    bytes in the same order have equal digests at every step.
    """

    tokens: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    digest: str
    prefix: npt.NDArray[np.int64] | None = None  # (batch,): tokens of each row's input, where rows have one
    judged_bytes: int | None = None  # raw bytes that all targets which count stand for, where that was asked


def digest_of(*arrays: npt.NDArray[np.generic]) -> str:
    """blake2b-128 over the bytes of the arrays, as 32 hexadecimal digits."""
    total = hashlib.blake2b(digest_size=16)
    for array in arrays:
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
