"""Draws without repetition, row by row."""

import numpy as np
import numpy.typing as npt


def distinct(random: np.random.Generator, rows: int, n: int, k: int) -> npt.NDArray[np.int64]:
    """k different numbers of [0, n) in each row, in random order: the first k steps of Fisher and Yates's shuffle."""
    pool, row = np.tile(np.arange(n), (rows, 1)), np.arange(rows)
    for place in range(k):
        other = random.integers(place, n, size=rows)
        pool[row, place], pool[row, other] = pool[row, other], pool[row, place]
    return pool[:, :k]
