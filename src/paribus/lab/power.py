"""What a plan can see, before anything is spent: effect, number of seeds, standard deviation of d, and power.

The verdict needs the t interval and the exact sign-flip test together, at alpha / comparisons in Holm's worst case.
For t alone the power is the noncentral t's (statsmodels). With few seeds the sign-flip test asks for more: its p moves
in steps of 2 / 2^n, and below `fewest_seeds` it can never decide. There the power is found by simulation of normal d
with a fixed seed (standard error below 0.003). Above SIMULATED_UP_TO the two tests nearly agree and t's power is used:
for 13 to 16 seeds it is up to 0.03 more than the rule's (benchmarks/verdict_simulation.py).
Without a known standard deviation leave sd = 1: effects and margins are then in units of it.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from paribus.core.config import require
from paribus.core.seed import generator
from paribus.lab.statistics import Vector

SIMULATED_UP_TO = 12
DRAWS = 20_000
MOST_SEEDS = 2**20


def fewest_seeds(comparisons: int = 1, alpha: float = 0.05) -> int:
    """The smallest n whose sign-flip p can reach alpha / comparisons: 2 / 2^n <= alpha / comparisons."""
    return math.ceil(1 + math.log2(comparisons / alpha) - 1e-9)


def fewest_for_equivalence(comparisons: int = 1, alpha: float = 0.05) -> int:
    """The smallest n whose one-sided sign-flip p can reach alpha / comparisons: 1 / 2^n <= alpha / comparisons."""
    return fewest_seeds(comparisons, alpha) - 1


def t_power(n: int, effect: float, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t test alone; effect = mean / sd of d."""
    from statsmodels.stats.power import TTestPower  # brings pandas along: half a second

    return float(TTestPower().power(effect, nobs=n, alpha=alpha, alternative="two-sided"))


def power(n: int, effect: float, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05) -> float:
    """The chance that a true mean of d at distance `effect` beyond the border is found, in the right direction."""
    _check(n, sd, comparisons, alpha)
    if n < fewest_seeds(comparisons, alpha):
        return 0.0
    if n <= SIMULATED_UP_TO:
        return float(np.mean(_effects_needed(n, alpha / comparisons) < effect / sd))
    return t_power(n, effect / sd, alpha / comparisons)


def smallest_effect(
    n: int, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05, power_wanted: float = 0.8
) -> float:
    """The smallest distance of the mean from the border that n seeds find with this power; inf if none is."""
    _check(n, sd, comparisons, alpha)
    if n < fewest_seeds(comparisons, alpha):
        return math.inf
    if n <= SIMULATED_UP_TO:
        return sd * float(np.quantile(_effects_needed(n, alpha / comparisons), power_wanted))
    return sd * t_smallest_effect(n, alpha / comparisons, power_wanted)


def t_smallest_effect(n: int, alpha: float = 0.05, power_wanted: float = 0.8) -> float:
    """mean / sd that the two-sided paired t test alone finds with this power."""
    return _where(lambda effect: t_power(n, effect, alpha), power_wanted, 1 / math.sqrt(n))


def seeds_for_effect(
    effect: float, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05, power_wanted: float = 0.8
) -> int:
    """The fewest seeds that find a mean of d at distance `effect` beyond the border."""
    return _fewest(effect, sd, comparisons, alpha, power_wanted, power)


def equivalence_power(n: int, margin: float, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05) -> float:
    """The chance that two arms without any true difference are found equivalent within +-margin."""
    _check(n, sd, comparisons, alpha)
    level = alpha / comparisons
    if n < fewest_for_equivalence(comparisons, alpha):
        return 0.0
    if n <= SIMULATED_UP_TO:
        return float(np.mean(_margins_needed(n, level) < margin / sd))
    return tost_power(n, margin / sd, level)


def tost_power(n: int, margin: float, alpha: float = 0.05) -> float:
    """Power of the two one-sided t tests alone at no difference; margin in units of the sd of d.

    P(|mean| < m - t s / sqrt(n)), integrated over the distribution of s.
    """
    quantiles = (np.arange(4_000) + 0.5) / 4_000
    s = np.sqrt(special.chdtri(n - 1, quantiles) / (n - 1))
    room = math.sqrt(n) * margin - special.stdtrit(n - 1, 1 - alpha) * s
    return float(np.mean(np.where(room > 0, 2 * special.ndtr(room) - 1, 0.0)))


def smallest_margin(
    n: int, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05, power_wanted: float = 0.8
) -> float:
    """The smallest margin within which n seeds find equal arms equivalent with this power; inf if none is."""
    _check(n, sd, comparisons, alpha)
    level = alpha / comparisons
    if n < fewest_for_equivalence(comparisons, alpha):
        return math.inf
    if n <= SIMULATED_UP_TO:
        return sd * float(np.quantile(_margins_needed(n, level), power_wanted))
    return sd * _where(lambda margin: tost_power(n, margin, level), power_wanted, 1 / math.sqrt(n))


def seeds_for_equivalence(
    margin: float, sd: float = 1.0, comparisons: int = 1, alpha: float = 0.05, power_wanted: float = 0.8
) -> int:
    """The fewest seeds that find arms without any true difference equivalent within +-margin."""
    return _fewest(margin, sd, comparisons, alpha, power_wanted, equivalence_power)


def _where(reached: Callable[[float], float], wanted: float, scale: float) -> float:
    """The size at which the power `reached` comes to `wanted`, sought upwards from `scale`."""
    high = scale
    while reached(high) < wanted:
        high *= 1.5
    return float(optimize.brentq(lambda size: reached(size) - wanted, 0.0, high))


def _fewest(
    size: float, sd: float, comparisons: int, alpha: float, wanted: float, reached: Callable[..., float]
) -> int:
    """Bisection for the smallest n with reached(n, size, ...) >= wanted; MOST_SEEDS stands for that and more."""
    require(size > 0, f"effect or margin {size}: expected a positive size")
    low, high = 1, 2
    while high < MOST_SEEDS and reached(high, size, sd, comparisons, alpha) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if reached(middle, size, sd, comparisons, alpha) < wanted:
            low = middle
        else:
            high = middle
    return high


def _check(n: int, sd: float, comparisons: int, alpha: float) -> None:
    require(n >= 1, f"{n} seeds: expected at least 1")
    require(sd > 0 and math.isfinite(sd), f"standard deviation {sd}: expected a positive number")
    require(comparisons >= 1, f"{comparisons} comparisons: expected at least 1")
    require(0 < alpha < 1, f"alpha = {alpha}: expected a probability between 0 and 1")


@lru_cache(maxsize=64)
def _effects_needed(n: int, level: float) -> Vector:
    """For each simulated set of n normal values: the shift at which both two-sided tests find it."""
    z = _draws(n)
    t = special.stdtrit(n - 1, 1 - level / 2) * z.std(axis=1, ddof=1) / math.sqrt(n) - z.mean(axis=1)
    needed: Vector = np.maximum(t, _signflip_shift(z, int(level * 2 ** (n - 1) + 1e-9)))
    return needed


@lru_cache(maxsize=64)
def _margins_needed(n: int, level: float) -> Vector:
    """For each simulated set of n normal values: the margin within which both pairs of one-sided tests put it."""
    z = _draws(n)
    t = special.stdtrit(n - 1, 1 - level) * z.std(axis=1, ddof=1) / math.sqrt(n) + np.abs(z.mean(axis=1))
    patterns = int(level * 2**n + 1e-9)
    needed: Vector = np.maximum(t, np.maximum(_signflip_shift(z, patterns), _signflip_shift(-z, patterns)))
    return needed


def _draws(n: int) -> Vector:
    return generator("power", n).standard_normal((DRAWS, n))


def _signflip_shift(z: Vector, patterns: int) -> Vector:
    """The shift c of each row above which at most `patterns` sign patterns have a sum as high as the observed one.

    Flipping the subset F lowers the sum of z + c by 2 (sum_F z + |F| c), so a pattern counts while c <= -mean_F(z);
    the empty F always counts, and the others leave one by one as c passes the means.
    """
    n = z.shape[1]
    subsets = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    weights = (-subsets / subsets.sum(axis=1, keepdims=True)).T
    rows = max(1, 4_000_000 // 2**n)
    return np.concatenate(
        [
            np.partition(z[start : start + rows] @ weights, -patterns, axis=1)[:, -patterns]
            for start in range(0, len(z), rows)
        ]
    )
