"""From the results of a claim's cells to its verdict: pairs, tests, Holm over the comparisons, rules, JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from paribus.core.config import require, to_dict
from paribus.core.errors import nearest
from paribus.lab import power
from paribus.lab.combinations import weights_of
from paribus.lab.predictions import Equivalent, Prediction
from paribus.lab.rules import ALPHA, EXIT_CODES, UNDECIDED, UNDECIDED_SMOKE, Evidence, aa_holds, outcome, p_values
from paribus.lab.statistics import Holm, Interval, Paired, holm

# arm -> replicate -> metric -> value, from the verdict cells only; a diverged run holds its cap.
Results = Mapping[str, Mapping[int, Mapping[str, float]]]


@dataclass(frozen=True)
class Measure:
    """What the lab must know of a metric."""

    unit: str
    lower_is_better: bool = False


@dataclass(frozen=True)
class Outcome:
    """One prediction, judged."""

    prediction: Prediction
    measure: Measure
    paired: Paired
    adjusted: Holm
    p_t: float
    p_signflip: float
    word: str
    reason: str
    comparisons: int
    noise: Paired | None = None

    @cached_property
    def seeds_needed(self) -> int | None:
        """Pairs that would decide an undecided prediction with power 0.8, by the sd seen here."""
        if self.word != UNDECIDED or self.held:
            return None
        return _seeds_needed(self.prediction, self.paired, self.comparisons)

    @property
    def held(self) -> bool:
        """The A/A arm differs from itself too much for any verdict."""
        return self.noise is not None and aa_holds(self.noise, self.prediction)

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.paired, self.adjusted.level)

    def entry(self) -> dict[str, Any]:
        """The prediction's entry in verdict.json; an interval without ends (one pair) has nulls."""
        fields = to_dict(self.prediction)
        return {
            "id": self.prediction.id,
            "kind": fields["part"],
            "arm": self.prediction.sides[0],
            "than": self.prediction.sides[1],
            **({"contrast": weights} if len(weights := self.prediction.contrast) > 2 else {}),
            "by": fields.get("by"),
            "margin": fields.get("margin"),
            "metric": self.prediction.metric,
            "unit": self.measure.unit,
            "n": self.paired.n,
            "estimate": self.paired.mean,
            "ci95": _finite(self.evidence.ci95),
            "p_t": self.p_t,
            "p_signflip": self.p_signflip,
            "p_holm": self.adjusted.p,
            "outcome": self.word,
            "seeds_needed": self.seeds_needed,
            "provenance": self.prediction.provenance,
        }


@dataclass(frozen=True)
class Verdict:
    """All predictions of a claim, judged; the claim's word is that of its primary one."""

    outcomes: tuple[Outcome, ...]
    primary: str

    @property
    def headline(self) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.prediction.id == self.primary)

    @property
    def word(self) -> str:
        return self.headline.word

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.word]

    def entries(self) -> list[dict[str, Any]]:
        """The `predictions` of verdict.json."""
        return [outcome.entry() for outcome in self.outcomes]


def judge(
    predictions: Sequence[Prediction],
    primary: str,
    results: Results,
    measures: Mapping[str, Measure],
    noise: Mapping[str, Paired] | None = None,
    smoke: bool = False,
) -> Verdict:
    """Judge every prediction of a claim on the same replicates.

    results: arm -> replicate -> metric -> value, verdict seeds only.
    measures: metric -> its unit and direction.
    noise: prediction id -> A/A differences in its metric; none for arms that read the same weights.
    Raises ConfigError for an unknown primary, arm or metric, a replicate that one arm lacks, a value not finite.
    """
    ids = [prediction.id for prediction in predictions]
    require(primary in ids, f"primary {primary!r} is no prediction of the claim; {nearest(primary, ids)}")
    require(len(set(ids)) == len(ids), f"predictions {ids!r}: two have the same id")
    pairs = [pair(prediction, results, measures) for prediction in predictions]
    tests = [p_values(prediction, paired) for prediction, paired in zip(predictions, pairs)]
    adjusted = holm([max(both) for both in tests], ALPHA)
    outcomes = []
    for prediction, paired, (p_t, p_signflip), step in zip(predictions, pairs, tests, adjusted):
        twin = (noise or {}).get(prediction.id)
        word, reason = _word(prediction, Evidence(paired, step.level), twin, smoke)
        outcomes.append(
            Outcome(
                prediction=prediction,
                measure=measures[prediction.metric],
                paired=paired,
                adjusted=step,
                p_t=p_t,
                p_signflip=p_signflip,
                word=word,
                reason=reason,
                comparisons=len(predictions),
                noise=twin,
            )
        )
    return Verdict(tuple(outcomes), primary)


def pair(prediction: Prediction, results: Results, measures: Mapping[str, Measure]) -> Paired:
    """The paired differences of one prediction, in the order of the replicates of the first arm that it names."""
    name, metric = f"prediction {prediction.id!r}", prediction.metric
    require(metric in measures, f"{name}: unknown metric {metric!r}; {nearest(metric, measures)}")
    arms = list(prediction.contrast)
    for arm in arms:
        require(arm in results, f"{name}: no results of arm {arm!r}; {nearest(arm, results)}")
    ours = results[arms[0]]
    for arm in arms[1:]:
        alone = sorted(set(ours) ^ set(results[arm]))
        require(
            not alone,
            f"{name}: {len(ours)} results of {arms[0]!r} against {len(results[arm])} of {arm!r}; "
            f"replicates {alone} have no partner: finish the missing cells, pairs are never dropped",
        )
    values = {arm: [_value(results[arm][replicate], metric, arm, replicate) for replicate in ours] for arm in arms}
    above, below = weights_of(prediction.arm), weights_of(prediction.than)
    size = sum(max(map(abs, values[name]), default=0.0) * abs(weight) for name, weight in prediction.contrast.items())
    return Paired.of(
        side(above, values),
        side(below, values),
        measures[metric].lower_is_better,
        largest=size if len(above) + len(below) > 2 else None,
    )


def side(weights: Mapping[str, float], values: Mapping[str, Sequence[float]]) -> list[float]:
    """The weighted mean of arms, replicate by replicate."""
    if len(weights) == 1:
        (arm,) = weights
        return list(values[arm])
    return [math.fsum(w * v for w, v in zip(weights.values(), row)) for row in zip(*(values[arm] for arm in weights))]


def twins(
    prediction: Prediction,
    control: Mapping[int, Mapping[str, float]],
    twin: Mapping[int, Mapping[str, float]],
    measures: Mapping[str, Measure],
) -> Paired:
    """The A/A differences that a prediction is held to: those of one arm from its twin, times the half sum of the
    contrast's absolute weights. So an interaction of four arms, in which a bias of the lab could enter twice, is held
    to twice the difference of one pair."""
    changes: dict[str, Any] = {"arm": "twin", "than": "control"}
    alone = pair(replace(prediction, **changes), {"control": control, "twin": twin}, measures)
    scale = sum(map(abs, prediction.contrast.values())) / 2
    return Paired(tuple(scale * value for value in alone.values))


def _value(metrics: Mapping[str, float], metric: str, arm: str, replicate: int) -> float:
    require(
        metric in metrics,
        f"arm {arm!r}, replicate {replicate}: the cell has no metric {metric!r}; {nearest(metric, metrics)}",
    )
    value = metrics[metric]
    require(
        math.isfinite(value),
        f"arm {arm!r}, replicate {replicate}: {metric} = {value}, expected a finite number; a diverged run counts as "
        "ln(vocabulary) or chance accuracy",
    )
    return value


def _finite(interval: Interval) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in interval]


def _word(prediction: Prediction, evidence: Evidence, noise: Paired | None, smoke: bool) -> tuple[str, str]:
    """(outcome, why in a sentence)."""
    if smoke:
        return UNDECIDED_SMOKE, "a smoke run is too short for a verdict"
    word = outcome(prediction, evidence)
    if word != UNDECIDED and noise is not None and aa_holds(noise, prediction):
        return UNDECIDED, (
            f"held: two runs of the same arm differ by {noise.mean:+.3g} on average (p = {noise.p_t():.2g}), "
            "which is no chance and not small against the margin"
        )
    inside = isinstance(prediction, Equivalent) and abs(evidence.paired.mean) < prediction.margin
    low, high = evidence.ci90 if inside else evidence.ci95
    interval = f"the adjusted {90 if inside else 95} % interval [{low:.4g}, {high:.4g}]"
    if word != UNDECIDED:
        return word, f"{interval} and the sign-flip test agree"
    p_t, p_signflip = p_values(prediction, evidence.paired)
    if p_t <= evidence.level < p_signflip:
        return word, f"{interval} decides, the sign-flip test (p = {p_signflip:.2g}) does not"
    if p_signflip <= evidence.level < p_t:
        return word, f"the sign-flip test decides, {interval} does not"
    return word, f"{interval} reaches over the border"


def _seeds_needed(prediction: Prediction, paired: Paired, comparisons: int) -> int | None:
    """Pairs that would decide at the observed sd with power 0.8, none without a variance to go by.

    Equivalent: were the arms equal. Greater and NotWorse: were the estimate the truth, or the truth the margin away
    from the border, whichever is farther: an estimate at the border asks for more pairs than the margin is worth.
    """
    if paired.n < 2 or paired.sd == 0:
        return None
    if isinstance(prediction, Equivalent):
        return power.seeds_for_equivalence(prediction.margin, paired.sd, comparisons)
    margin = getattr(prediction, "margin", None) or 0.0
    border = getattr(prediction, "by", -margin)
    effect = max(margin, abs(paired.mean - border))
    return power.seeds_for_effect(effect, paired.sd, comparisons) if effect > 0 else None
