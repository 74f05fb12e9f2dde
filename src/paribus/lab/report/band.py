"""The band around a line: what is known of a mean over few runs, and what the band is called."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from paribus.lab.statistics import Paired

FEWEST_FOR_T = 4  # below, a t interval of the mean is several times wider than the values themselves


@dataclass(frozen=True)
class Band:
    """The mean of runs, with the ends of its band; no width for a single run."""

    mean: float
    low: float
    high: float


def band(values: Sequence[float]) -> Band:
    """The 95 % t interval of the mean for four runs or more, the smallest and largest value for fewer."""
    runs = Paired(tuple(values))
    if runs.n < FEWEST_FOR_T:
        return Band(runs.mean, min(values), max(values))
    low, high = runs.interval(0.95)
    return Band(runs.mean, low, high)


def called(n: int, unit: str = "seed") -> str:
    """What the band of n runs shows."""
    if n == 1:
        return f"one {unit}, so no band"
    if n < FEWEST_FOR_T:
        return f"band: smallest to largest of {n} {unit}s (too few for an interval)"
    return f"band: 95 % t interval of the mean over {n} {unit}s"


def finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
