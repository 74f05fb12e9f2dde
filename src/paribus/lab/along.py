"""What a run's trend came to: the paired differences of every prediction at every budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.lab.predictions import Prediction
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, Results, pair


@dataclass(frozen=True)
class Point:
    """One budget: steps and the tokens they read, every arm's metrics, and the differences by prediction."""

    steps: int
    tokens: int
    results: Results
    differences: Mapping[str, Paired]  # positive = as predicted

    def entry(self) -> dict[str, Any]:
        """Its entry in verdict.json. The intervals are of one comparison each: a trend decides nothing."""
        return {
            "steps": self.steps,
            "tokens": self.tokens,
            "differences": [
                {
                    "id": name,
                    "n": d.n,
                    "estimate": d.mean,
                    "interval95": list(d.interval(0.95)) if d.n > 1 else [None, None],
                }
                for name, d in self.differences.items()
            ],
        }


def points(
    predictions: Sequence[Prediction],
    measures: Mapping[str, Measure],
    results: Mapping[int, Results],
    tokens_per_step: int,
) -> list[Point]:
    """From steps -> results to points, the smallest budget first."""
    return [
        Point(n, n * tokens_per_step, at, {p.id: pair(p, at, measures) for p in predictions})
        for n, at in sorted(results.items())
    ]
