"""What a run cost, by phase: seconds of its cells from their results, FLOPs from the plan."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from paribus.core.errors import ParibusError
from paribus.lab.cell import Cell
from paribus.lab.claim import Measured
from paribus.lab.folder import CELLS, RESULT
from paribus.lab.plan import with_dependencies
from paribus.lab.record import Record


@dataclass(frozen=True)
class Phase:
    name: str
    cells: int
    flops: float | None  # None where a cell has no price in FLOPs
    seconds: float | None  # of the cells added up, None where a result is not at hand


def phases(record: Record) -> list[Phase]:
    """The phases that this run had, in order. A cell that serves two phases is counted in the first."""
    plan = record.plan
    if isinstance(plan.task, Measured):
        cells = [computed.cell for computed in record.read.values()]
        return [Phase("measuring", len(cells), None, _seconds(record, cells))]
    seen: set[str] = set()

    def phase(name: str, cells: Iterable[Cell]) -> list[Phase]:
        fresh = [cell for cell in with_dependencies(list(cells)) if cell.digest not in seen]
        seen.update(cell.digest for cell in fresh)
        if not fresh:
            return []
        return [Phase(name, len(fresh), sum(cell.cost for cell in fresh), _seconds(record, fresh))]

    found: list[Phase] = []
    if plan.searched and record.tried:
        tuned = []
        for arm in plan.claim.trained_arms():
            grid = sorted({one.learning_rate for one in record.tried if one.arm == arm.name})
            tuned += plan.tuning_cells(arm, record.rates, grid)
        found += phase("searching rates", tuned)
    found += phase("training", [computed.cell for computed in record.trained.values()])
    found += phase("reading", [computed.cell for computed in record.read.values()])
    found += phase("trend", [computed.cell for some in record.trend.values() for computed in some.values()])
    if record.noise:
        found += phase("noise floor (A/A)", plan.noise_cells(record.rates))
    return found


def _seconds(record: Record, cells: Iterable[Cell]) -> float | None:
    total = 0.0
    known = {c.cell.digest: c.result for c in (*record.trained.values(), *record.read.values())}
    for cell in cells:
        result = known.get(cell.digest)
        try:
            if result is None:
                path = record.folder / CELLS / cell.digest / RESULT
                result = json.loads(path.read_text(encoding="utf-8"))
            total += float(result["measured"]["seconds"])
        except (OSError, ValueError, KeyError, TypeError, ParibusError):
            return None
    return total


def processor_hours(record: Record, seconds: float) -> str:
    """Seconds of cells as hours of what they ran on: threads of a CPU, or one GPU a cell."""
    environment = record.plan.environment
    if environment.device == "cpu":
        return f"{seconds * environment.threads / 3600:.3g} CPU-hours"
    return f"{seconds / 3600:.3g} GPU-hours"
