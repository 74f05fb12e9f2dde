"""The rules that turn one paired comparison into a word.

A comparison has d (positive = the arm is better), its 95 % and 90 % t intervals, both adjusted by Holm over the
claim's comparisons, and the exact sign-flip p. Every statement about a border needs both: the interval beyond the
border, and the sign-flip test of d - border at the same level. Where the two disagree the outcome is undecided.

The error of 5 % is shared by all comparisons of a claim and counts statements that are wrong about a border. The word
"equivalent" for a refuted `Greater` is a second statement about the same comparison, at that comparison's level.
"""

import math
from dataclasses import dataclass

from paribus.core.errors import ConfigError
from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction
from paribus.lab.statistics import Interval, Paired

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"
UNDECIDED_SMOKE = "undecided (smoke)"

EXIT_CODES = {REPRODUCED: 0, CONTRADICTED: 10, EQUIVALENT: 11, UNDECIDED: 12, UNDECIDED_SMOKE: 12}

ALPHA = 0.05
AA_ALPHA = 0.01


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
        return self.paired.clears(self.ci95[0], border) and self._flips(border)

    def below(self, border: float) -> bool:
        """The mean of d is below the border."""
        return self.paired.clears(border, self.ci95[1]) and self._flips(border)

    def inside(self, margin: float) -> bool:
        """The mean of d is within +-margin: two one-sided tests."""
        low, high = self.ci90
        return (
            self.paired.clears(low, -margin)
            and self.paired.clears(margin, high)
            and self.paired.signflip(-margin).above <= self.level
            and self.paired.signflip(margin).below <= self.level
        )

    def _flips(self, border: float) -> bool:
        return self.paired.signflip(border).two_sided <= self.level


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
    raise _no_rule(prediction)


def p_values(prediction: Prediction, paired: Paired) -> tuple[float, float]:
    """(t, sign-flip): the smallest level at which each test by itself decides the prediction, either way.

    Two-sided at the border (b, or -m). For an equivalence: the larger one-sided p while the estimate is inside +-m,
    the two-sided p at the nearer end when it is outside.
    """
    match prediction:
        case Greater():
            border = prediction.by
        case NotWorse():
            border = -prediction.margin
        case Equivalent():
            m = prediction.margin
            if abs(paired.mean) < m:
                return (
                    max(paired.p_t_above(-m), paired.p_t_below(m)),
                    max(paired.signflip(-m).above, paired.signflip(m).below),
                )
            border = math.copysign(m, paired.mean)
        case _:
            raise _no_rule(prediction)
    return paired.p_t(border), paired.signflip(border).two_sided


def _no_rule(prediction: Prediction) -> ConfigError:
    return ConfigError(f"no verdict rule for {type(prediction).__name__}; use Greater, NotWorse or Equivalent")


def aa_holds(noise: Paired, prediction: Prediction) -> bool:
    """The A/A arm holds the verdict at undecided: p < 0.01 and |mean| > margin / 2.

    A `Greater` without a margin is held to half its predicted size; with neither, by p alone.
    """
    margin: float | None = getattr(prediction, "margin", None)
    size: float = getattr(prediction, "by", 0.0) if margin is None else margin
    return noise.p_t() < AA_ALPHA and abs(noise.mean) > size / 2
