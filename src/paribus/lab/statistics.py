"""Paired statistics of n differences d: how large, how sure, and how the errors of several comparisons add up.

All tests are of the mean of d against a border c: Student's t on d - c, and the exact sign-flip permutation test on
d - c. Differences that are all equal (two readers of the same weights) have no variance: their interval is one point,
and t rejects every border but that point. Source of the protocol: Fisher 1935; Holm 1979 for several comparisons.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from paribus.core.config import require
from paribus.core.seed import generator

Interval = tuple[float, float]
Vector = NDArray[np.float64]

# Up to here all 2^n sign patterns are enumerated (8 MB at n = 20); above, this many are drawn from a fixed seed.
EXACT_UP_TO = 20
MONTE_CARLO_DRAWS = 99_999


@dataclass(frozen=True)
class Paired:
    """n paired differences of one metric, oriented so that positive = the arm is better.

    values: d, one per pair, finite.
    resolution: differences of d from a border that are not larger than this are rounding, and count as zero.
    """

    values: tuple[float, ...]
    resolution: float = 0.0

    def __post_init__(self) -> None:
        require(len(self.values) > 0, "no pairs: a comparison needs at least one pair of results")
        require(
            all(math.isfinite(value) for value in self.values),
            f"differences {self.values!r} are not all finite numbers; a diverged run counts at its cap",
        )

    @classmethod
    def of(
        cls,
        arm: Sequence[float],
        than: Sequence[float],
        lower_is_better: bool = False,
        largest: float | None = None,
    ) -> "Paired":
        """d = arm - than (than - arm where lower is better), pair by pair: positive = the arm is better.

        largest: size of the numbers that d was made of, for what counts as rounding; by default of arm and than.
        """
        require(len(arm) == len(than), f"{len(arm)} results against {len(than)}: pairs need equal numbers")
        sign = -1.0 if lower_is_better else 1.0
        largest = max((abs(value) for value in (*arm, *than)), default=0.0) if largest is None else largest
        return cls(tuple(sign * (a - b) for a, b in zip(arm, than)), 8 * np.finfo(float).eps * largest)

    @cached_property
    def _d(self) -> Vector:
        return np.asarray(self.values, dtype=np.float64)

    @property
    def n(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return float(self._d[0] if self._constant else self._d.mean())

    @cached_property
    def sd(self) -> float:
        """Standard deviation of d (n - 1 in the denominator); 0 for equal differences, nan for a single one."""
        if self.n < 2:
            return math.nan
        return 0.0 if self._constant else float(self._d.std(ddof=1))

    @cached_property
    def _constant(self) -> bool:
        return bool(np.ptp(self._d) <= self.resolution)

    def interval(self, confidence: float) -> Interval:
        """Two-sided t interval of the mean: mean -+ t_{(1+confidence)/2, n-1} sd / sqrt(n).

        Without variance it is the point itself; with one pair it is the whole line.
        """
        if self.n < 2:
            return -math.inf, math.inf
        half = float(special.stdtrit(self.n - 1, (1 + confidence) / 2)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def clears(self, high: float, low: float) -> bool:
        """high > low by more than rounding."""
        return high - low > self.resolution

    def p_t_above(self, border: float = 0.0) -> float:
        """One-sided p of Student's t: the chance, were the mean at the border, of a t this high or higher."""
        return self._p_t(self.mean - border)

    def p_t_below(self, border: float = 0.0) -> float:
        """The chance, were the mean at the border, of a t this low or lower."""
        return self._p_t(border - self.mean)

    def p_t(self, border: float = 0.0) -> float:
        """Two-sided p of Student's t for the mean at the border."""
        return min(1.0, 2 * min(self.p_t_above(border), self.p_t_below(border)))

    def _p_t(self, distance: float) -> float:
        if self.n < 2:
            return 1.0
        if self.sd == 0:
            return 0.0 if distance > self.resolution else 1.0
        return float(special.stdtr(self.n - 1, -distance / (self.sd / math.sqrt(self.n))))

    def signflip(self, border: float = 0.0) -> "SignFlip":
        """The sign-flip test of d - border: how its sum stands among the sums under independent flips of signs.

        Exact by enumeration for n <= EXACT_UP_TO. Above, Monte Carlo with a fixed seed, where the observed pattern
        counts as one of the draws, so that p is never 0 and the test keeps its level (Phipson & Smyth 2010).
        """
        sums_of_d, sums_of_ones = self._patterns
        sums = sums_of_d - border * sums_of_ones
        observed = float(self._d.sum()) - border * self.n
        rounding = 1e-12 * (float(np.abs(self._d).sum()) + abs(border) * self.n) + self.resolution * self.n
        low, high = observed - rounding, observed + rounding
        far = abs(observed) - rounding
        if self.n <= EXACT_UP_TO:
            # S and -S come in pairs: the first sign stays fixed, and each sum stands for both.
            above = np.count_nonzero(sums >= low) + np.count_nonzero(-sums >= low)
            below = np.count_nonzero(sums <= high) + np.count_nonzero(-sums <= high)
            beyond, patterns = 2 * np.count_nonzero(np.abs(sums) >= far), 2 * len(sums)
        else:
            above, below = np.count_nonzero(sums >= low) + 1, np.count_nonzero(sums <= high) + 1
            beyond, patterns = np.count_nonzero(np.abs(sums) >= far) + 1, len(sums) + 1
        return SignFlip(float(above / patterns), float(below / patterns), float(beyond / patterns))

    @cached_property
    def _patterns(self) -> tuple[Vector, Vector]:
        """Sums of d, and of n ones, under every sign pattern: together the sums of d - border for any border."""
        if self.n > EXACT_UP_TO:
            return self._drawn_patterns()
        sums, ones = self._d[:1], np.ones(1)
        for value in self._d[1:]:
            sums = np.concatenate([sums + value, sums - value])
            ones = np.concatenate([ones + 1, ones - 1])
        return sums, ones

    def _drawn_patterns(self) -> tuple[Vector, Vector]:
        random = generator("sign-flip", self.n)
        columns = np.stack([self._d, np.ones(self.n)], axis=1)
        parts = []
        for start in range(0, MONTE_CARLO_DRAWS, 10_000):
            count = min(10_000, MONTE_CARLO_DRAWS - start)
            flips = random.integers(0, 2, size=(count, self.n), dtype=np.int8)
            parts.append(columns.sum(axis=0) - 2 * (flips @ columns))
        sums, ones = np.concatenate(parts).T
        return sums, ones


@dataclass(frozen=True)
class SignFlip:
    """The shares of sign patterns whose sum is as high, as low, as far from 0 as the observed one (>= 2/2^n)."""

    above: float
    below: float
    two_sided: float


def signflip_method(n: int) -> str:
    """How the sign-flip p of n pairs is found, in words for a report."""
    if n <= EXACT_UP_TO:
        return f"exact, all {2**n:,} sign patterns"
    return f"Monte Carlo, {MONTE_CARLO_DRAWS:,} sign patterns from a fixed seed"


@dataclass(frozen=True)
class Holm:
    """Holm's adjustment of one comparison: its adjusted p, and the level at which its own test stood."""

    p: float
    level: float


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[Holm]:
    """Holm's step-down procedure (Holm 1979): p_holm <= alpha exactly where p <= level.

    Sorted upwards, the j-th of k smallest p is held against alpha / (k - j + 1), until one fails; those after it get
    the level of the first that failed. Equal p get equal levels. Intervals at confidence 1 - level then exclude a
    border exactly where Holm rejects it: all k statements about borders are right together with probability at least
    1 - alpha. Every such interval contains the plain 1 - alpha one, so each covers its own mean, and the expected
    share that misses is at most alpha; that all k cover their means *at once* is not promised (intervals that do so
    and agree with Holm stick to the border and say nothing of the size: Brannath et al. 2024, arXiv:2402.13719).
    """
    k = len(p_values)
    remaining = [sum(other >= p for other in p_values) for p in p_values]
    order = sorted(range(k), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * k, 0.0
    for i in order:
        highest = max(highest, min(1.0, p_values[i] * remaining[i]))
        adjusted[i] = highest
    failed = [remaining[i] for i in order if adjusted[i] > alpha]
    return [Holm(adjusted[i], alpha / (failed[0] if adjusted[i] > alpha else remaining[i])) for i in range(k)]


@dataclass(frozen=True)
class Summary:
    """Everything a report says of one comparison by itself, unadjusted, tests against no difference."""

    n: int
    mean: float
    sd: float | None
    ci95: Interval
    ci90: Interval
    p_t: float
    p_signflip: float
    signflip_method: str
    median: float
    p_wilcoxon: float
    d_z: float | None
    share_won: float
    bca95: Interval | None


def summarize(paired: Paired) -> Summary:
    """Mean with intervals, both tests, and the heavy-tail guards: median, Wilcoxon, share of pairs won, BCa.

    sd is None for a single pair, d_z = mean / sd also without variance; share_won counts d > 0. The BCa bootstrap is
    a check only, as it covers too little for n below about 15; it is None for fewer than 3 pairs.
    """
    d = np.asarray(paired.values)
    d[np.abs(d) <= paired.resolution] = 0.0
    nonzero = d[d != 0]
    # Wilcoxon's signed ranks are a sign-flip test of the ranks: exact with ties, zeros dropped as in the original.
    ranks = np.sign(nonzero) * stats.rankdata(np.abs(nonzero))
    return Summary(
        n=paired.n,
        mean=paired.mean,
        sd=paired.sd if paired.n > 1 else None,
        ci95=paired.interval(0.95),
        ci90=paired.interval(0.90),
        p_t=paired.p_t(),
        p_signflip=paired.signflip().two_sided,
        signflip_method=signflip_method(paired.n),
        median=float(np.median(d)),
        p_wilcoxon=Paired(tuple(ranks)).signflip().two_sided if len(ranks) else 1.0,
        d_z=paired.mean / paired.sd if paired.n > 1 and paired.sd > 0 else None,
        share_won=float(np.mean(d > 0)),
        bca95=_bca(paired),
    )


def _bca(paired: Paired) -> Interval | None:
    if paired.n < 3:
        return None
    if paired.sd == 0:
        return paired.mean, paired.mean
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate resample gives nan, told apart below
        low, high = stats.bootstrap(
            (paired.values,), np.mean, method="BCa", n_resamples=9_999, rng=generator("bootstrap", paired.n)
        ).confidence_interval
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else None
