"""What was measured, sorted for pictures: kinds that were read at several context lengths, and single numbers."""

from dataclasses import dataclass
from statistics import fmean

from paribus.lab.claim import Measured
from paribus.lab.combinations import Side
from paribus.lab.record import Record
from paribus.lab.report.quantity import Quantity, number, quantity
from paribus.lab.verdict import side


@dataclass(frozen=True)
class Curve:
    """One kind at several lengths, such as loss@64 ... loss@512; `at` is length -> metric, upwards."""

    kind: str
    at: dict[int, Quantity]

    @property
    def quantity(self) -> Quantity:
        return next(iter(self.at.values()))


def names(record: Record) -> list[str]:
    """Every metric of any arm: those of the task in its order, then others."""
    found = {name: None for arm in record.results.values() for metrics in arm.values() for name in metrics}
    task = record.plan.task
    declared = list(task.units) if isinstance(task, Measured) else list(task.metric.names())
    return [name for name in declared if name in found] + sorted(name for name in found if name not in declared)


def curves(record: Record) -> list[Curve]:
    """Kinds with two lengths or more; loss first, then the kind of the primary prediction."""
    kinds: dict[str, dict[int, Quantity]] = {}
    for name in names(record):
        kind, length = split(name)
        if length is not None:
            kinds.setdefault(kind, {})[length] = quantity(record.plan.claim, name)
    primary = split(record.verdict.headline.prediction.metric)[0]
    rank = {"loss": 0, primary: 1}
    found = [Curve(kind, dict(sorted(at.items()))) for kind, at in kinds.items() if len(at) > 1]
    return sorted(found, key=lambda curve: rank.get(curve.kind, 2))


def singles(record: Record) -> list[Quantity]:
    """Metrics outside any curve; the primary prediction's first."""
    drawn = {one.metric for curve in curves(record) for one in curve.at.values()}
    primary = record.verdict.headline.prediction.metric
    rest = [name for name in names(record) if name not in drawn]
    return [quantity(record.plan.claim, name) for name in sorted(rest, key=lambda name: name != primary)]


def split(metric: str) -> tuple[str, int | None]:
    """(kind, length) of `kind@length`; no length for other names."""
    kind, _, length = metric.rpartition("@")
    return (kind, int(length)) if kind and length.isascii() and length.isdigit() and int(length) > 0 else (metric, None)


def values(record: Record, arm: Side, metric: str) -> list[float]:
    """The metric of an arm or a combination of arms over its replicates, those that have it."""
    if not isinstance(arm, str):
        weights = arm.weights()
        each = {name: values(record, name, metric) for name in weights}
        return side(weights, each) if all(each.values()) else []
    return [metrics[metric] for metrics in record.results.get(arm, {}).values() if metric in metrics]


def unit_of(record: Record) -> str:
    """What is repeated: seeds where there is training, the task's own unit otherwise."""
    task = record.plan.task
    return task.unit if isinstance(task, Measured) else "seed"


def means(record: Record) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of means, one row an arm; units stand in the header."""
    columns = [one for curve in curves(record) for one in curve.at.values()] + singles(record)
    rows = []
    for arm in record.plan.claim.arms:
        found = [values(record, arm.name, one.metric) for one in columns]
        cells = [number(one.scaled(fmean(runs))) if runs else "–" for one, runs in zip(columns, found)]
        rows.append([arm.name, *cells])
    return ["arm", *[f"{one.metric}, {one.unit_shown}".removesuffix(", ") for one in columns]], rows
