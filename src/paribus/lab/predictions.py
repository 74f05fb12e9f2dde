"""What a claim predicts of two arms, written down before the first run.

Each prediction speaks of d, the paired difference of one metric between `arm` and `than`, oriented so that positive
means that `arm` is better: d = arm - than where higher is better, d = than - arm where lower is better. The metric
itself says which end is the good one, so a prediction about a loss reads like one about an accuracy.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, replace
from datetime import date
from typing import Any, Self

from paribus.core.config import Part, require
from paribus.lab.combinations import Combination, contrast, named


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _amount(size: float, unit: str) -> str:
    return f"{size:g} {unit}".strip()


class Prediction(Part, ABC, kw_only=False):
    """One comparison of two arms.

    id: short name, unique in its claim.
    arm, than: names of two arms of the claim, or combinations of some (lab/combinations.py).
    metric: name of the metric as the cells report it, for example "accuracy@512".
    provenance: where the prediction comes from, in free words: "blind", "published", "informed by a one-seed sketch".
    dated: the day it was made, YYYY-MM-DD.
    """

    id: str
    arm: str | Combination
    _: KW_ONLY
    than: str | Combination
    metric: str
    provenance: str = ""
    dated: str = ""

    @property
    def contrast(self) -> dict[str, float]:
        """Arm -> weight in arm - than."""
        return contrast(self.arm, self.than)

    @property
    def sides(self) -> tuple[str, str]:
        """What arm and than are called."""
        return named(self.arm), named(self.than)

    @abstractmethod
    def sentence(self, unit: str = "") -> str:
        """The prediction in words, for a plan or a report."""

    def with_margin(self, margin: float) -> Self:
        """The same prediction under another margin, as a profile may set it."""
        changes: dict[str, Any] = {"margin": margin}
        return replace(self, **changes)

    def check(self) -> None:
        name = f"prediction {self.id!r}"
        require(bool(self.id), "a prediction has an empty id; give it a short name such as 'longer'")
        require(bool(self.metric), f"{name} names no metric; write for example metric='accuracy@512'")
        require(bool(self.contrast), f"{name} compares {self.sides[0]!r} with itself; name two different arms")
        require(
            bool(self.provenance.strip()),
            f'{name} does not say where it comes from; write provenance="blind", "published" '
            'or "informed by a one-seed sketch"',
        )
        require(
            _is_day(self.dated), f'{name} has dated={self.dated!r}; write the day it was made, as in dated="2026-11-22"'
        )
        margin = getattr(self, "margin", None)
        require(margin is None or margin > 0, f"{name} has margin {margin}; a margin is a positive size of difference")
        require(getattr(self, "by", 0.0) >= 0, f"{name} predicts a negative size; swap arm and than instead")


class Greater(Prediction):
    """The arm is better by more than `by`: mean d > by.

    by: predicted size b >= 0, in the metric's unit.
    margin: m > 0, the size below which a difference does not matter. With it, a refuted prediction whose difference
        is shown to lie inside +-m is called equivalent; without it, contradicted.
    """

    source = "Fisher, The Design of Experiments, 1935, sections 18 and 21 (paired t; exact sign flips)"

    by: float = 0.0
    margin: float | None = None

    def sentence(self, unit: str = "") -> str:
        size = f" by more than {_amount(self.by, unit)}" if self.by else ""
        arm, than = self.sides
        return f"{arm} is better than {than} in {self.metric}{size}"


class NotWorse(Prediction):
    """The arm loses less than `margin`: mean d > -margin.

    margin: m > 0, the loss that would not matter, in the metric's unit.
    """

    source = "CPMP, Points to consider on switching between superiority and non-inferiority, 2000"

    margin: float

    def sentence(self, unit: str = "") -> str:
        arm, than = self.sides
        return f"{arm} is not worse than {than} in {self.metric} by {_amount(self.margin, unit)} or more"


class Equivalent(Prediction):
    """The two arms differ by less than `margin`: -margin < mean d < margin.

    margin: m > 0, the difference that would not matter, in the metric's unit.
    """

    source = "Schuirmann, A comparison of the two one-sided tests procedure and the power approach, 1987"

    margin: float

    def sentence(self, unit: str = "") -> str:
        arm, than = self.sides
        return f"{arm} and {than} differ in {self.metric} by less than {_amount(self.margin, unit)}"


_example: dict[str, Any] = {
    "than": "baseline",
    "metric": "accuracy@512",
    "provenance": "published",
    "dated": "2026-11-22",
}
Greater.examples = (Greater("longer", "key-norm", **_example, by=0.05, margin=0.01),)
NotWorse.examples = (NotWorse("in-length", "key-norm", **_example, margin=0.001),)
Equivalent.examples = (Equivalent("same", "key-norm", **_example, margin=0.01),)
