"""How a metric is shown: shares as per cent, their differences as percentage points, signs and digits alike."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from paribus.lab.claim import Claim, Measured
from paribus.lab.predictions import Prediction


@dataclass(frozen=True)
class Quantity:
    """A metric with its unit as the task names it; `scaled` values are what the report shows."""

    metric: str
    unit: str
    lower_is_better: bool

    @property
    def is_share(self) -> bool:
        return self.unit == "share" or self.unit.startswith("share ")

    @property
    def factor(self) -> float:
        return 100.0 if self.is_share else 1.0

    @property
    def unit_shown(self) -> str:
        return "%" + self.unit.removeprefix("share") if self.is_share else self.unit

    @property
    def difference_unit(self) -> str:
        return "percentage points" if self.is_share else self.unit

    @property
    def better(self) -> str:
        return "lower is better" if self.lower_is_better else "higher is better"

    def scaled(self, value: float) -> float:
        return value * self.factor

    def value(self, value: float, scale: float | None = None) -> str:
        """A value with its unit, digits as a spread of `scale` deserves."""
        shown = number(self.scaled(value), None if scale is None else self.scaled(scale))
        return f"{shown} {self.unit_shown}".strip()

    def difference(self, value: float, scale: float | None = None) -> str:
        """A signed difference without its unit."""
        return number(self.scaled(value), None if scale is None else self.scaled(scale), sign=True)

    def amount(self, value: float) -> str:
        """A size with its unit, as a margin is spelt."""
        return f"{self.scaled(value):g} {self.difference_unit}".strip()

    def sentence(self, prediction: Prediction) -> str:
        """The prediction in words and in the unit shown."""
        sizes: dict[str, Any] = {
            name: self.scaled(size)
            for name in ("by", "margin")
            if (size := getattr(prediction, name, None)) is not None
        }
        return replace(prediction, **sizes).sentence(self.difference_unit)


def quantity(claim: Claim, metric: str) -> Quantity:
    """The quantity of any metric that cells report; one that the task does not declare has no unit."""
    task = claim.task
    if isinstance(task, Measured):
        return Quantity(metric, task.units.get(metric, ""), metric in task.lower_is_better)
    if metric not in task.metric.names():
        return Quantity(metric, "", False)
    return Quantity(metric, task.metric.unit(metric), task.metric.lower_is_better(metric))


def number(value: float, scale: float | None = None, sign: bool = False) -> str:
    """The number with two significant digits of `scale` (four of itself without one), a true minus, never -0."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "−∞" if value < 0 else "+∞" if sign else "∞"
    size = scale if scale is not None and 0 < scale < math.inf else abs(value) / 100
    if value != 0 and not 1e-5 <= abs(value) < 1e7 and not 1e-5 <= size < 1e7:
        shown = f"{value:{'+' if sign else ''}.3e}"
        shown = re.sub(r"e\+?(-?)0*(\d)", r"e\1\2", shown)
    else:
        decimals = 3 if size == 0 else min(8, max(0, 1 - math.floor(math.log10(size))))
        shown = f"{value:{'+' if sign else ''},.{decimals}f}"
        if float(shown.replace(",", "")) == 0:
            shown = shown.lstrip("+-")
    return shown.replace("-", "−")


def p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def metric_words(metric: str) -> str:
    """`accuracy@512` as a stranger reads it."""
    kind, at, length = metric.partition("@")
    return f"{kind} at length {length}" if at and length.isdigit() else metric


def sized(value: float, unit: str) -> str:
    """1.23e12 FLOP as 1.23 TFLOP."""
    if value <= 0:
        return f"0 {unit}"
    prefixes = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"]
    power = min(len(prefixes) - 1, max(0, math.floor(math.log10(value) / 3 + 1e-9)))
    return f"{value / 1000**power:.3g} {prefixes[power]}{unit}"


def clock(seconds: float) -> str:
    """Seconds as one would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
