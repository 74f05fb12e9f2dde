"""The rules that turn paired results into words, and a claim's predictions into its verdict.

A comparison has d (positive = the arm is better), its 95 % and 90 % t intervals, both adjusted by Holm over the
claim's comparisons, and the exact sign-flip p. Every statement about a border needs both: the interval beyond the
border, and the sign-flip test of d - border at the same level. Where the two disagree the outcome is undecided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.core.config import require, to_dict
from paribus.core.errors import ConfigError, nearest
from paribus.lab import power
from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction
from paribus.lab.statistics import Holm, Interval, Paired, holm

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"
UNDECIDED_SMOKE = "undecided (smoke)"

EXIT_CODES = {REPRODUCED: 0, CONTRADICTED: 10, EQUIVALENT: 11, UNDECIDED: 12, UNDECIDED_SMOKE: 12}

ALPHA = 0.05
AA_ALPHA = 0.01

# arm -> replicate -> metric -> value, from the verdict cells only; a diverged run holds its cap.
Results = Mapping[str, Mapping[int, Mapping[str, float]]]


@dataclass(frozen=True)
class Measure:
    """What the lab must know of a metric."""

    unit: str
    lower_is_better: bool = False


@dataclass(frozen=True)
class Evidence:
    """One comparison at the level that Holm gives it: what may be said of borders."""

    paired: Paired
    level: float = ALPHA

    @property
    def ci95(self) -> Interval:
        """Confidence 1 - level: 95 % for a single comparison, wider when several share the 5 %."""
        return self.paired.interval(1 - self.level)

    @property
    def ci90(self) -> Interval:
        """Confidence 1 - 2 level: both one-sided tests of an equivalence at the same level."""
        return self.paired.interval(1 - 2 * self.level)

    def above(self, border: float) -> bool:
        """The mean of d is above the border: interval and sign-flip test agree."""
        return self.paired.above(self.ci95[0], border) and self.paired.p_signflip(border) <= self.level

    def below(self, border: float) -> bool:
        """The mean of d is below the border."""
        return Evidence(self.paired.mirrored, self.level).above(-border)

    def inside(self, margin: float) -> bool:
        """The mean of d is within +-margin: two one-sided tests."""
        low, high = self.ci90
        return (
            self.paired.above(low, -margin)
            and self.paired.above(margin, high)
            and self.paired.p_signflip_above(-margin) <= self.level
            and self.paired.mirrored.p_signflip_above(-margin) <= self.level
        )


def greater(evidence: Evidence, by: float, margin: float | None) -> str:
    """Above b: reproduced. Below b: contradicted, or equivalent when also inside +-m. Without m never equivalent."""
    if evidence.above(by):
        return REPRODUCED
    if evidence.below(by):
        return EQUIVALENT if margin is not None and evidence.inside(margin) else CONTRADICTED
    return UNDECIDED


def not_worse(evidence: Evidence, margin: float) -> str:
    """Above -m: reproduced. Below -m: contradicted."""
    if evidence.above(-margin):
        return REPRODUCED
    return CONTRADICTED if evidence.below(-margin) else UNDECIDED


def equivalent(evidence: Evidence, margin: float) -> str:
    """Inside +-m: reproduced. Beyond either end: contradicted."""
    if evidence.inside(margin):
        return REPRODUCED
    return CONTRADICTED if evidence.above(margin) or evidence.below(-margin) else UNDECIDED


def outcome(prediction: Prediction, evidence: Evidence) -> str:
    match prediction:
        case Greater():
            return greater(evidence, prediction.by, prediction.margin)
        case NotWorse():
            return not_worse(evidence, prediction.margin)
        case Equivalent():
            return equivalent(evidence, prediction.margin)
    raise ConfigError(f"no verdict rule for {type(prediction).__name__}; use Greater, NotWorse or Equivalent")


def p_values(prediction: Prediction, paired: Paired) -> tuple[float, float]:
    """(t, sign-flip): the smallest level at which each test by itself decides the prediction, either way.

    Two-sided at the border (b, or -m). For an equivalence: the larger one-sided p while the estimate is inside +-m,
    the two-sided p at the nearer end when it is outside.
    """
    match prediction:
        case Greater():
            return paired.p_t(prediction.by), paired.p_signflip(prediction.by)
        case NotWorse():
            return paired.p_t(-prediction.margin), paired.p_signflip(-prediction.margin)
        case Equivalent():
            m, other = prediction.margin, paired.mirrored
            if abs(paired.mean) < m:
                return (
                    max(paired.p_t_above(-m), other.p_t_above(-m)),
                    max(paired.p_signflip_above(-m), other.p_signflip_above(-m)),
                )
            end = math.copysign(m, paired.mean)
            return paired.p_t(end), paired.p_signflip(end)
    raise ConfigError(f"no verdict rule for {type(prediction).__name__}; use Greater, NotWorse or Equivalent")


def aa_holds(noise: Paired, prediction: Prediction) -> bool:
    """The A/A arm holds the verdict at undecided: p < 0.01 and |mean| > margin / 2.

    A `Greater` without a margin is held to half its predicted size; with neither, by p alone.
    """
    margin: float | None = getattr(prediction, "margin", None)
    size: float = getattr(prediction, "by", 0.0) if margin is None else margin
    return noise.p_t() < AA_ALPHA and abs(noise.mean) > size / 2


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
    seeds_needed: int | None

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.paired, self.adjusted.level)

    def entry(self) -> dict[str, Any]:
        """The prediction's entry in verdict.json; an interval without ends (one pair) has nulls."""
        fields = to_dict(self.prediction)
        return {
            "id": self.prediction.id,
            "kind": fields["part"],
            "arm": self.prediction.arm,
            "than": self.prediction.than,
            "by": fields.get("by"),
            "margin": fields.get("margin"),
            "metric": self.prediction.metric,
            "unit": self.measure.unit,
            "n": self.paired.n,
            "estimate": self.paired.mean,
            "ci95": [end if math.isfinite(end) else None for end in self.evidence.ci95],
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
        return [outcome.entry() for outcome in self.outcomes]


def judge(
    predictions: Sequence[Prediction],
    primary: str,
    results: Results,
    measures: Mapping[str, Measure],
    noise: Mapping[str, Paired] | None = None,
    smoke: bool = False,
    alpha: float = ALPHA,
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
    adjusted = holm([max(both) for both in tests], alpha)
    outcomes = []
    for prediction, paired, (p_t, p_signflip), step in zip(predictions, pairs, tests, adjusted):
        word, reason = _word(prediction, Evidence(paired, step.level), (noise or {}).get(prediction.id), smoke)
        needed = _seeds_needed(prediction, paired, len(predictions), alpha) if word == UNDECIDED else None
        measure = measures[prediction.metric]
        outcomes.append(Outcome(prediction, measure, paired, step, p_t, p_signflip, word, reason, needed))
    return Verdict(tuple(outcomes), primary)


def pair(prediction: Prediction, results: Results, measures: Mapping[str, Measure]) -> Paired:
    """The paired differences of one prediction, in the order of the replicates of its arm."""
    name, metric = f"prediction {prediction.id!r}", prediction.metric
    require(metric in measures, f"{name}: unknown metric {metric!r}; {nearest(metric, measures)}")
    for arm in (prediction.arm, prediction.than):
        require(arm in results, f"{name}: no results of arm {arm!r}; {nearest(arm, results)}")
    ours, theirs = results[prediction.arm], results[prediction.than]
    alone = sorted(set(ours) ^ set(theirs))
    require(
        not alone,
        f"{name}: {len(ours)} results of {prediction.arm!r} against {len(theirs)} of {prediction.than!r}; "
        f"replicates {alone} have no partner: finish the missing cells, pairs are never dropped",
    )
    values = [
        (
            _value(ours[replicate], metric, prediction.arm, replicate),
            _value(theirs[replicate], metric, prediction.than, replicate),
        )
        for replicate in ours
    ]
    return Paired.of([a for a, _ in values], [b for _, b in values], measures[metric].lower_is_better)


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
    low, high = evidence.ci95
    interval = f"the adjusted 95 % interval [{low:.4g}, {high:.4g}]"
    if word != UNDECIDED:
        return word, f"{interval} and the sign-flip test agree"
    p_t, p_signflip = p_values(prediction, evidence.paired)
    if p_t <= evidence.level < p_signflip:
        return word, f"{interval} decides, the sign-flip test (p = {p_signflip:.2g}) does not"
    if p_signflip <= evidence.level < p_t:
        return word, f"the sign-flip test decides, {interval} does not"
    return word, f"{interval} reaches over the border"


def _seeds_needed(prediction: Prediction, paired: Paired, comparisons: int, alpha: float) -> int | None:
    """Pairs that would decide at the observed sd with power 0.8, none without a variance to go by.

    For a margin m: were the arms equal (NotWorse, Equivalent), or m beyond the predicted size (Greater). A Greater
    without a margin: were the estimate the truth.
    """
    if paired.n < 2 or paired.sd == 0:
        return None
    margin = getattr(prediction, "margin", None)
    if isinstance(prediction, Equivalent):
        return power.seeds_for_equivalence(prediction.margin, paired.sd, comparisons, alpha)
    effect = abs(paired.mean - getattr(prediction, "by", 0.0)) if margin is None else margin
    return power.seeds_for_effect(effect, paired.sd, comparisons, alpha) if effect > 0 else None
