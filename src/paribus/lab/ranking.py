"""All arms of a claim set against one another in one metric, as a compact letter display.

Every two arms are compared by the paired t test, adjusted by Holm's procedure, and by the sign-flip test, adjusted
jointly (max_t.py); the larger p counts, as in a verdict. Two arms differ if it is at most 5 %, which the k (k - 1) / 2
pairs share. Letters then say it all: two arms share a letter exactly if they were not shown to differ.

Source: Piepho, An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons, Journal of Computational and
Graphical Statistics, 2004 (insert and absorb).
"""

import itertools
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from paribus.lab.max_t import max_t
from paribus.lab.predictions import Greater, Prediction
from paribus.lab.rules import ALPHA
from paribus.lab.statistics import Paired, holm
from paribus.lab.verdict import Measure, Results, pair

METHOD = "t by Holm, signs by step-down max-T"
FEWEST_ARMS = 3  # two arms are one comparison, which the predictions tell better


@dataclass(frozen=True)
class Compared:
    """Two arms, the better one by its mean first."""

    arm: str
    than: str
    paired: Paired
    p_t: float  # both adjusted for all pairs
    p_signflip: float

    @property
    def differ(self) -> bool:
        return max(self.p_t, self.p_signflip) <= ALPHA


@dataclass(frozen=True)
class Place:
    arm: str
    mean: float
    letters: str


@dataclass(frozen=True)
class Ranking:
    metric: str
    measure: Measure
    n: int
    places: tuple[Place, ...]  # best mean first
    pairs: tuple[Compared, ...]

    def entry(self) -> dict[str, Any]:
        """The ranking in verdict.json."""
        return {
            "metric": self.metric,
            "unit": self.measure.unit,
            "n": self.n,
            "alpha": ALPHA,
            "method": METHOD,
            "arms": [{"arm": one.arm, "mean": one.mean, "letters": one.letters} for one in self.places],
            "pairs": [
                {
                    "arm": one.arm,
                    "than": one.than,
                    "estimate": one.paired.mean,
                    "p_t": one.p_t,
                    "p_signflip": one.p_signflip,
                    "differ": one.differ,
                }
                for one in self.pairs
            ],
        }


def rankings(
    predictions: Sequence[Prediction], primary: str, results: Results, measures: Mapping[str, Measure]
) -> tuple[Ranking, ...]:
    """One for each metric that is predicted, the primary one first; none for two arms or a single replicate."""
    first = sorted(predictions, key=lambda prediction: prediction.id != primary)
    metrics = dict.fromkeys(prediction.metric for prediction in first)
    if len(results) < FEWEST_ARMS or min(map(len, results.values())) < 2:
        return ()
    return tuple(rank(metric, results, measures) for metric in metrics)


def rank(metric: str, results: Results, measures: Mapping[str, Measure]) -> Ranking:
    """Arms by their mean, with the letters of all pairwise comparisons."""
    sign = -1.0 if measures[metric].lower_is_better else 1.0
    means = {arm: fmean(one[metric] for one in found.values()) for arm, found in results.items()}
    order = sorted(means, key=lambda arm: -sign * means[arm])
    pairs = list(itertools.combinations(order, 2))
    differences = [_pair(arm, than, metric, results, measures) for arm, than in pairs]
    by_t = holm([paired.p_t() for paired in differences], ALPHA)
    by_signs = max_t([paired.values for paired in differences], [paired.resolution for paired in differences])
    compared = tuple(
        Compared(arm, than, paired, step.p, p_signflip)
        for (arm, than), paired, step, p_signflip in zip(pairs, differences, by_t, by_signs)
    )
    shown = letters(order, [(one.arm, one.than) for one in compared if one.differ])
    places = tuple(Place(arm, means[arm], shown[arm]) for arm in order)
    return Ranking(metric, measures[metric], differences[0].n, places, compared)


def _pair(arm: str, than: str, metric: str, results: Results, measures: Mapping[str, Measure]) -> Paired:
    told: dict[str, Any] = {"metric": metric, "provenance": "a ranking", "dated": "2000-01-01"}
    return pair(Greater(f"{arm} over {than}", arm, than=than, **told), results, measures)


def letters(order: Sequence[str], differing: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Arm -> its letters: two arms share one exactly if the pair is not among the differing ones.

    Begins with one letter for all. Each differing pair splits every letter that both have into one without the first
    and one without the second (insert); a letter whose arms all have another one is dropped (absorb). What is left
    over beyond need is dropped too. Letters go by the best arm that has them.
    """
    columns: list[frozenset[str]] = [frozenset(order)]
    for first, second in differing:
        split = [
            part for one in columns for part in ((one - {first}, one - {second}) if {first, second} <= one else [one])
        ]
        columns = _absorbed(split)
    for one in sorted(columns, key=len):
        rest = [other for other in columns if other is not one]
        if _covered(one, rest):
            columns = rest
    place = {arm: i for i, arm in enumerate(order)}
    columns.sort(key=lambda one: sorted(place[arm] for arm in one))
    names = [_letter(i) for i in range(len(columns))]
    return {arm: "".join(name for name, one in zip(names, columns) if arm in one) for arm in order}


def _absorbed(columns: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """Without those that lie inside another one."""
    distinct = list(dict.fromkeys(columns))
    return [one for one in distinct if not any(one < other for other in distinct)]


def _covered(one: frozenset[str], rest: Sequence[frozenset[str]]) -> bool:
    """Whether every arm of a letter, and every two of them, have a letter in common without it."""
    return all(any({a, b} <= other for other in rest) for a in one for b in one)


def _letter(index: int) -> str:
    alphabet = string.ascii_lowercase + string.ascii_uppercase
    return alphabet[index] if index < len(alphabet) else f"({index + 1})"
