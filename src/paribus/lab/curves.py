"""The curves and metrics of a run as tables, read from its files; a run that is still going on gives what it has."""

import calendar
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paribus.core.errors import RunFolderError
from paribus.lab.folder import EVENTS, read_lines
from paribus.lab.on_disk import RunOnDisk

Row = dict[str, Any]

# Columns that every row begins with, and those of a training step that are always there.
OF_A_CELL = ("run", "claim", "profile", "cell", "arm", "phase", "kind", "learning_rate", "replicate", "status")
OF_A_STEP = ("step", "loss", "norm", "rate", "batch")


@dataclass(frozen=True)
class Curve:
    """One cell: what it is, an event a training step, and its metrics, empty while it is unfinished."""

    about: Row  # the columns OF_A_CELL
    events: tuple[Row, ...]
    metrics: dict[str, float]
    seconds: float  # since 1970, when it was finished or last written

    @property
    def name(self) -> str:
        """A name for people, unique in its run."""
        rate = self.about["learning_rate"]
        parts = [self.about["arm"] or "unknown", self.about["kind"], self.about["phase"]]
        parts += [] if rate is None else [f"lr{rate:g}"]
        return "-".join([*parts, f"seed{self.about['replicate']}", self.about["cell"][:6]])


@dataclass(frozen=True)
class Curves:
    run: Path
    plan: Row

    @cached_property
    def cells(self) -> tuple[Curve, ...]:
        return tuple(_cells(self))

    def step_columns(self) -> list[str]:
        """The columns of `steps`: the usual ones, then whatever else the events tell."""
        further = {key for curve in self.cells for event in curve.events for key in event} - {*OF_A_STEP}
        return [*OF_A_CELL, *OF_A_STEP, *sorted(further)]

    def steps(self) -> Iterator[Row]:
        """A row for each step of each training."""
        columns = self.step_columns()
        for curve in self.cells:
            for event in curve.events:
                row = {**curve.about, **event}
                yield {name: row.get(name) for name in columns}

    def metrics(self) -> Iterator[Row]:
        """A row for each metric of each finished cell: the columns OF_A_CELL, metric and value."""
        for curve in self.cells:
            for name, value in curve.metrics.items():
                yield {**curve.about, "metric": name, "value": value}


def read_curves(run: Path) -> Curves:
    """Raises RunFolderError where `run` is no run folder, or has no cell yet."""
    found = Curves(run, RunOnDisk(run).plan)
    if not found.cells:
        raise RunFolderError(f"{run} has no cells yet: nothing to export; let its run begin first")
    return found


def _cells(curves: Curves) -> Iterator[Curve]:
    run = RunOnDisk(curves.run)
    for cell in run.cells():
        described, result = cell.described, cell.result
        if not described:  # of a worker that was killed at its first file
            continue
        about = {
            "run": curves.run.resolve().name,
            "claim": curves.plan["claim"],
            "profile": curves.plan["profile"],
            "cell": cell.digest,
            "arm": run.arm_of(described),
            "phase": run.phase_of(described),
            "kind": described.get("kind"),
            "learning_rate": described.get("learning_rate"),
            "replicate": described.get("replicate"),
            "status": cell.status,
        }
        try:
            finished = float(calendar.timegm(time.strptime(result["measured"]["finished"], "%Y-%m-%dT%H:%M:%SZ")))
        except (KeyError, ValueError):
            finished = cell.path.stat().st_mtime
        yield Curve(about, tuple(_events(cell.path / EVENTS)), dict(result.get("metrics", {})), finished)


def _events(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise RunFolderError(
                f"{path}, line {number}, is damaged ({error}): delete {path.parent} and run the same command again, "
                "only that is redone"
            ) from error
        yield event
