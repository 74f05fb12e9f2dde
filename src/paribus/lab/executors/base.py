"""Contract of an executor: take cells whose needs are met, yield what becomes of them.

Cells are idempotent and leave their results in the run folder, so an executor may die at any moment and lose only the
cells at work.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
