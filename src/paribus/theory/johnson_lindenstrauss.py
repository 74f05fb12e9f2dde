"""How many dimensions m hold n points: random projections that keep all distances, and the rules of thumb.

A projection of iid N(0, 1/m) entries multiplies the squared length of a fixed vector by a random chi2(m) / m. All
n (n - 1) / 2 squared distances stay within a factor 1 +- eps, except with probability at most

    union bound:   n (n - 1) / 2  *  (P(chi2(m) < (1 - eps) m) + P(chi2(m) > (1 + eps) m))
    closed form:   m >= 4 ln n / (eps^2 / 2 - eps^3 / 3)  leaves a failure probability below 1

Rules of thumb: m = 8 ln n for attention heads (50 for 512 keys, 92 for 100,000) and 8.33 ln n for embeddings whose
softmax of dot products must tell n words apart. These are far too small to keep all distances (eps near 1); they ask
only that n directions can be told apart. Read for attention: with d dimensions made for 512 keys, n keys would have
d ln n / ln 512 of them, hence the factor log_512 n on the scale. A reading, not a proof.

Sources: Johnson and Lindenstrauss, 1984; Dasgupta and Gupta, An elementary proof of a theorem of Johnson and
Lindenstrauss, 2003; 苏剑林, 从JL引理看熵不变性Attention, 2023-04-10; 最小熵原理（六）, 2020 (8.33 ln n).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from paribus.core.config import require
from paribus.core.seed import generator

Array = NDArray[np.float64]


def dimension(n: int, eps: float) -> int:
    """The least m of the closed form of Dasgupta and Gupta. 0 < eps < 1, of squared distances."""
    _check(n, eps)
    return math.ceil(4 * math.log(n) / (eps**2 / 2 - eps**3 / 3))


def failure_probability(n: int, m: int, eps: float) -> float:
    """The union bound on the probability that some squared distance leaves 1 +- eps, at most 1. Exact tails."""
    _check(n, eps)
    require(_whole(m, 1), f"m = {m!r}: expected a dimension of at least 1")
    tails = chi2.cdf((1 - eps) * m, m) + chi2.sf((1 + eps) * m, m)
    return float(min(1.0, n * (n - 1) / 2 * tails))


def sufficient_dimension(n: int, eps: float, failure: float = 0.5) -> int:
    """The least m whose union bound is at most `failure`: what a projection needs, smaller than `dimension`."""
    _check(n, eps)
    require(0 < failure < 1, f"failure = {failure!r}: expected a probability in (0, 1)")
    low, high = 0, 1
    while failure_probability(n, high, eps) > failure:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if failure_probability(n, middle, eps) > failure else (low, middle)
    return high


def rule_of_thumb(n: ArrayLike, coefficient: float = 8.0) -> Array:
    """coefficient * ln n: 8 for a head that attends to n keys, 8.33 for embeddings of n words. Not rounded."""
    n = np.asarray(n, float)
    require(bool((n >= 1).all()), f"n = {n}: expected at least 1 point")
    return np.asarray(coefficient * np.log(n))


@dataclass(frozen=True)
class Distortion:
    """What a projection did to n points: squared distances are ratios after / before, products absolute errors."""

    least: float
    greatest: float
    inner_product: float


def projected(points: ArrayLike, m: int, seed: int = 0) -> Array:
    """points (n, d) @ R (d, m), R of iid N(0, 1/m)."""
    points = _points(points)
    require(_whole(m, 1), f"m = {m!r}: expected a dimension of at least 1")
    rng = generator(seed, "johnson-lindenstrauss", points.shape[1], m)
    return np.asarray(points @ (rng.standard_normal((points.shape[1], m)) / math.sqrt(m)))


def distortion(before: ArrayLike, after: ArrayLike) -> Distortion:
    """The extreme squared-distance ratios over all pairs, and the largest error of an inner product of two points.

    Inner products are taken as they are: give points of unit length for errors of cosines. Memory n^2 numbers.
    """
    before, after = _points(before), _points(after)
    require(len(before) == len(after), f"{len(before)} points before and {len(after)} after: expected the same points")
    pairs = np.triu_indices(len(before), 1)
    old, new = before @ before.T, after @ after.T
    squared = [(np.diag(g)[:, None] + np.diag(g) - 2 * g)[pairs] for g in (old, new)]
    require(bool((squared[0] > 0).all()), "points: two are equal, so that a ratio of distances is undefined")
    ratio = squared[1] / squared[0]
    return Distortion(float(ratio.min()), float(ratio.max()), float(np.abs(new - old)[pairs].max()))


def _points(points: ArrayLike) -> Array:
    points = np.asarray(points, float)
    require(
        points.ndim == 2 and len(points) >= 2 and bool(np.isfinite(points).all()),
        f"points of shape {points.shape}: expected finite numbers in shape (n, d) with n >= 2",
    )
    return points


def _check(n: Any, eps: float) -> None:
    require(_whole(n, 2), f"n = {n!r}: expected an integer of at least 2 points")
    require(0 < eps < 1, f"eps = {eps!r}: expected a relative error in (0, 1)")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)
