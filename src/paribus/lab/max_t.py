"""Many paired comparisons by one permutation test: step-down max-T with joint sign flips.

The differences of all pairs at one replicate are flipped together, so that what they share (the same seed, a common
arm) is kept. A comparison's adjusted p is the share of sign patterns in which the largest |t| among it and those behind
it is as large as its own; it never falls from one comparison to the next weaker one. For a single comparison it is the
sign-flip test, and the smallest p is 2 / 2^n however many there are, where Holm's procedure multiplies it by their
number.

The chance of any false difference is at most alpha if under no difference the vector of differences has a distribution
that is symmetric about 0.

Source: Westfall and Young, Resampling-Based Multiple Testing, 1993, algorithm 2.8; Romano and Wolf, Exact and
Approximate Stepdown Methods for Multiple Hypothesis Testing, JASA 2005.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from paribus.core.config import require
from paribus.core.seed import generator

EXACT_UP_TO = 14  # replicates: all sign patterns, up to a common sign
DRAWS = 9_999
AT_ONCE = 1024

Matrix = NDArray[np.float64]


def max_t(differences: Sequence[Sequence[float]], resolution: Sequence[float] | None = None) -> list[float]:
    """Adjusted two-sided p of every row: differences (comparisons, n) of the same n replicates.

    resolution: of each row, means that are no larger are rounding, and count as 0.
    """
    d = np.asarray(differences, dtype=np.float64)
    require(d.ndim == 2 and d.shape[1] > 0, "no replicates: expected differences (comparisons, replicates)")
    require(bool(np.isfinite(d).all()), "the differences are not all finite numbers")
    if d.shape[1] == 1:
        return [1.0] * len(d)
    least = np.zeros(len(d)) if resolution is None else np.asarray(resolution, dtype=np.float64)
    observed = _sizes(d, np.ones((1, d.shape[1])), least)[0]
    order = np.argsort(-observed, kind="stable")
    d, least, observed = d[order], least[order], observed[order]
    # What is equal in exact numbers must count as equal.
    far = observed * (1 - 1e-12)
    beyond, patterns = np.zeros(len(d)), 0
    for signs in _patterns(d.shape[1]):
        largest = np.maximum.accumulate(_sizes(d, signs, least)[:, ::-1], axis=1)[:, ::-1]
        beyond += (largest >= far).sum(axis=0)
        patterns += len(signs)
    if d.shape[1] > EXACT_UP_TO:  # the observed pattern is one of those drawn
        beyond, patterns = beyond + 1, patterns + 1
    p = np.empty(len(d))
    p[order] = np.maximum.accumulate(beyond / patterns)
    return [float(one) for one in p]


def _sizes(d: Matrix, signs: Matrix, least: Matrix) -> Matrix:
    """|mean| / root mean square of every comparison under every pattern, (patterns, comparisons), in [0, 1].

    It grows with |t|, as t^2 = (n - 1) r^2 / (1 - r^2), and keeps its digits where t is large.
    """
    mean = np.abs(signs @ d.T) / d.shape[1]
    root = np.sqrt((d**2).mean(axis=1))
    r: Matrix = mean / np.where(root > 0, root, 1.0)
    r[mean <= least] = 0.0
    return r


def _patterns(n: int) -> Iterator[Matrix]:
    """Signs (patterns, n), part by part: all with the first sign up, as |t| knows no common sign, or drawn ones."""
    if n <= EXACT_UP_TO:
        count = 2 ** (n - 1)
        for start in range(0, count, AT_ONCE):
            codes = np.arange(start, min(start + AT_ONCE, count))
            bits = (codes[:, None] >> np.arange(n - 1)) & 1
            yield np.concatenate([np.ones((len(codes), 1)), 1.0 - 2.0 * bits.astype(np.float64)], axis=1)
        return
    random = generator("max-t", n)
    for start in range(0, DRAWS, AT_ONCE):
        bits = random.integers(0, 2, size=(min(AT_ONCE, DRAWS - start), n))
        yield 1.0 - 2.0 * bits.astype(np.float64)
