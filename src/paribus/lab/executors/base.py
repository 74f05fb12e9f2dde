"""Contract of an executor: take cells whose needs are met, yield what becomes of them.

Cells are idempotent and leave their results in the run folder, so an executor may die at any moment and lose only the
cells at work.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from paribus.core.errors import CellFailed, InputError, ParibusError
from paribus.lab.cell import Cell
from paribus.lab.folder import RESULT, read_json, whole


@dataclass(frozen=True)
class Progress:
    cell: Cell
    done: int
    of: int


@dataclass(frozen=True)
class Finished:
    cell: Cell
    result: dict[str, Any]


@dataclass(frozen=True)
class Again:
    """A cell is tried again, since its worker was lost: it died, or had to be stopped."""

    cell: Cell
    why: str


Event = Progress | Finished | Again

TRIES = 3  # of one cell, before a lost worker is an error


class Executor(ABC):
    @abstractmethod
    def run(self, cells: Sequence[Cell], rates: Mapping[str, float]) -> Iterator[Event]:
        """Compute the cells; one that needs another's weights comes after it in the sequence and waits for it.

        A stack is given and told of by its first cell, and is finished when all of its results are written.
        A cell whose worker is lost is tried TRIES times in all, and goes on from its last checkpoint.
        rates: the learning rates chosen so far, by arm. Raises CellFailed, or the error of the cell.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop at once; unfinished cells are left as they are."""


def request(cell: Cell, rates: Mapping[str, float]) -> dict[str, Any]:
    """The message that asks a worker for a cell: all that it needs to build the cell from the claim itself."""
    wanted = {"cell": cell.digest, "arm": cell.arm, "phase": cell.phase, "learning_rate": cell.learning_rate}
    return {**wanted, "rates": dict(rates)}


def spell(cell: Cell) -> str:
    """A cell in words, for messages."""
    rate = "" if cell.learning_rate is None else f", learning rate {cell.learning_rate:g}"
    verb = {"train": "training", "read": "reading", "measure": "measuring"}[cell.kind]
    seeds = f"seeds {', '.join(map(str, cell.stack))}, stacked" if cell.stack else f"seed {cell.replicate}"
    return f"{verb} arm {cell.arm!r}, {seeds}{rate}"


def failure(message: Mapping[str, Any], cell: Cell | None) -> ParibusError:
    """The error that a worker told of, with the cell that it was at work on."""
    where = "" if cell is None else f"{spell(cell)}: "
    kind: type[ParibusError] = InputError if message["exit_code"] == InputError.exit_code else CellFailed
    return kind(where + message["error"])


@dataclass(frozen=True)
class Patience:
    """How long a worker may be silent over a cell: a training is heard at its steps, all else only at its end.

    timeout: seconds that the user gave, or None for TIMES the estimate of the cell, at least LEAST seconds. speed:
    FLOP/s of one worker, or None where nothing is known: without a timeout, patience is endless then. reading: the same
    of the readings of an arm, where they were probed.
    """

    timeout: float | None
    speed: float | None
    reading: Mapping[str, float] = field(default_factory=dict)

    TIMES: ClassVar[int] = 20
    LEAST: ClassVar[float] = 600.0

    def limit(self, cell: Cell) -> float | None:
        if self.timeout is not None:
            return self.timeout
        return None if self.speed is None else max(self.LEAST, self.TIMES * self._estimate(cell, self.speed))

    def _estimate(self, cell: Cell, speed: float) -> float:
        cost = math.fsum(one.cost for one in cell.stacked)
        return cost / (self.reading.get(cell.arm, speed) if cell.kind == "read" else speed)

    def spell(self, cell: Cell) -> str:
        """Why a silent worker was stopped, and what can be done."""
        limit = self.limit(cell)
        assert limit is not None
        if self.timeout is not None or self.speed is None:
            return f"it said nothing for {limit:.0f} seconds, the --timeout"
        estimate = self._estimate(cell, self.speed)
        origin = f"{self.TIMES} times the estimate of {estimate:.0f}" if limit > self.LEAST else "the least patience"
        return f"it said nothing for {limit:.0f} seconds, {origin}"


def patience_of(settings: Mapping[str, Any]) -> Patience:
    return Patience(settings.get("timeout"), settings.get("speed"), settings.get("reading", {}))


def left_behind(cells: Path, cell: Cell) -> dict[str, Any] | None:
    """The result that a worker wrote before it was lost, if there is one, and all of its stack."""
    if not all(whole(cells / one.digest) for one in cell.stacked):  # without its weights it is being trained anew
        return None
    folder = cells / cell.digest
    result: dict[str, Any] = read_json(folder / RESULT, f"delete {folder} and run the same command again")
    return result


# glibc gives large blocks back to the system after each use and pays for them again in page faults: keeping them
# halves the time of a long reading. Its pages are asked to be large ones, which a tenth of a training step was spent on
# finding. Other C libraries ignore these names.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def thread_variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a worker on any machine starts with."""
    threads = str(settings["threads"])
    variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **KEEP_MEMORY}
    if own := os.environ.get("GLIBC_TUNABLES"):  # where the user says the same, the last word counts
        variables["GLIBC_TUNABLES"] += ":" + own
    return variables
