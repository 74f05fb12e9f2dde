"""min a + b + c over non-negative integers with N = a b + c: the tightest table of a by b cells with c left over.

Put s = a + b and d = b - a, of equal parity. Then 4 c = d^2 - D with D = s^2 - 4 N, and the sum is s + c.

    for s = isqrt(4 N), isqrt(4 N) + 1, ...:  d = the least integer >= sqrt(max(D, 0)) with d = s (mod 2)
    until s exceeds the smallest sum found.

*It is exact.* (i) For s <= 2 sqrt(N) the least d is 0 or 1 and the sum N - floor(s^2 / 4) + s falls or stays as s grows
from 1, so the first s stands for all smaller ones, except s = 0 (a = b = 0, sum N), which starts the search. (ii) For a
given s, c grows with d. (iii) A sum is at least s, so no s above the best sum can win.
*It is short.* At the second s, 0 < D <= 4 sqrt(N) + 1. A square D gives c = 0; else m^2 < D <= (m + 2)^2 with m = s
(mod 2), hence D >= m^2 + 4 and c = ((m + 2)^2 - D) / 4 <= m < sqrt(D). The rounds end at s = best <= (second s) + c, so
there are fewer than 2 + sqrt(4 sqrt(N) + 1) <= 3 + 2 N^(1/4) of them. On random N their mean is near 1.2 N^(1/6).

Of equal sums the one with the smallest c is returned; that makes the answer unique up to the order a <= b.

Source: 苏剑林, archive 9775, September 2023, whose searches take about 2 N^(1/4) rounds for every N; the early stop
and its bound are ours.
"""

import math
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex

from paribus.core.config import require


@dataclass(frozen=True)
class Partition:
    """N = a b + c with a <= b. `rounds` counts the values of a + b (or of a) that were tried."""

    a: int
    b: int
    c: int
    rounds: int

    @property
    def total(self) -> int:
        return self.a + self.b + self.c


def partition(n: SupportsIndex) -> Partition:
    """The least a + b + c with n = a b + c, at most 2 n^(1/4) + 3 rounds of one integer square root.

    n may be of any size, but the rounds grow with it: 10^5 of them, some 50 ms, for an n near 10^30.

    >>> partition(130)
    Partition(a=10, b=13, c=0, rounds=2)
    """
    n = _natural(n)
    best, a, b, c = n, 0, 0, n
    s = first = math.isqrt(4 * n)
    excess = s * s - 4 * n
    while s <= best:
        d = _ceil_sqrt(excess) if excess > 0 else 0
        d += (s - d) & 1
        rest = (d * d - excess) // 4
        if s + rest < best or (s + rest == best and rest < c):
            best, a, b, c = s + rest, (s - d) // 2, (s + d) // 2, rest
        excess += 2 * s + 1
        s += 1
    return Partition(a, b, c, s - first)


def partition_brute(n: SupportsIndex) -> Partition:
    """The definition, one a at a time: for a given a >= 1 the largest b is best. O(sqrt(n))."""
    n = _natural(n)
    candidates = [(n, n, 0, 0)] + [(a + n // a + n % a, n % a, a, n // a) for a in range(1, math.isqrt(n) + 1)]
    _, c, a, b = min(candidates)
    return Partition(a, b, c, len(candidates))


def partition_published(n: SupportsIndex) -> Partition:
    """The published search over all a + b up to floor(2 sqrt(n) + 2 + sqrt(1 + 4 sqrt(n))), for comparison; n >= 4."""
    n = _natural(n)
    require(n >= 4, f"n = {n}: the published search is wrong below 4; use partition")
    root = math.isqrt(n)
    if root * root == n:
        return Partition(root, root, 0, 1)
    best = None
    first, last = math.isqrt(4 * n), published_last(n)
    for p in range(first, last + 1):
        excess = p * p - 4 * n
        q = _ceil_sqrt(excess) if excess > 0 else 0
        q += (p - q) & 1
        total = p + (q * q - excess) // 4
        if best is None or total <= best[0]:
            best = total, p, q
    assert best is not None
    _, p, q = best
    a, b = (p - q) // 2, (p + q) // 2
    return Partition(a, b, n - a * b, last - first + 1)


def published_last(n: int) -> int:
    """floor(2 sqrt(n) + 2 + sqrt(1 + 4 sqrt(n))), exactly, for integers of any size."""
    # Scaled by 2^64 and rounded down the value can only be short of an integer that is hit exactly, when n is a
    # fourth power and the search has returned before.
    scale = 1 << 64
    root = math.isqrt(n * scale * scale)
    return 2 + (2 * root + math.isqrt(scale * scale + 4 * root * scale)) // scale


def _ceil_sqrt(n: int) -> int:
    return math.isqrt(n - 1) + 1


def _natural(n: SupportsIndex) -> int:
    require(hasattr(n, "__index__") and not isinstance(n, bool), f"n = {n!r}: expected a non-negative integer")
    value = index(n)
    require(value >= 0, f"n = {value}: expected a non-negative integer, as a, b and c are")
    return value
