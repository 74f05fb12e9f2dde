"""Contract of an executor: take cells whose needs are met, yield what becomes of them.

Cells are idempotent and leave their results in the run folder, so an executor may die at any moment and lose only the
cells at work.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.core.errors import CellFailed, InputError, ParibusError
from paribus.lab.cell import Cell


@dataclass(frozen=True)
class Progress:
    cell: Cell
    done: int
    of: int


@dataclass(frozen=True)
class Finished:
    cell: Cell
    result: dict[str, Any]


class Executor(ABC):
    @abstractmethod
    def run(self, cells: Sequence[Cell], rates: Mapping[str, float]) -> Iterator[Progress | Finished]:
        """Compute the cells; one that needs another's weights comes after it in the sequence and waits for it.

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
    return f"{verb} arm {cell.arm!r}, seed {cell.replicate}{rate}"


def failure(message: Mapping[str, Any], cell: Cell | None) -> ParibusError:
    """The error that a worker told of, with the cell that it was at work on."""
    where = "" if cell is None else f"{spell(cell)}: "
    kind: type[ParibusError] = InputError if message["exit_code"] == InputError.exit_code else CellFailed
    return kind(where + message["error"])


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
