"""A grid on more than one machine: at most `jobs` cells at once, each sent out when what it needs is finished.

The driver decides everything; a cluster only carries JSON requests to its machines and answers back. A worker that is
lost (killed, preempted, a dead node) is tried again, and its training goes on from its last checkpoint. The run folder
must be on a file system that all machines share: results, weights and progress are read there.
"""

import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paribus.core.errors import CellFailed, InputError
from paribus.lab.cell import Cell
from paribus.lab.executors.base import (
    TRIES,
    Again,
    Event,
    Executor,
    Finished,
    Progress,
    failure,
    left_behind,
    patience_of,
    request,
    spell,
)
from paribus.lab.folder import CELL, CELLS, EVENTS, PROGRESS, RESULT, SHARDED, read_lines, whole
from paribus.lab.remote import appears


@dataclass(frozen=True)
class Lost:
    """What became of a request that has no answer and will have none."""

    why: str


class _Signs:
    """Signs of life in the folders of a cell or stack, which all machines share: whatever its worker writes. No clock
    of another machine is read."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.seen, self.since, self.begun = self._look(), time.monotonic(), False

    def silence(self) -> float:
        """Seconds since the last sign; 0 while the worker has not begun."""
        if (now := self._look()) != self.seen:
            self.seen, self.since, self.begun = now, time.monotonic(), True
        return time.monotonic() - self.since if self.begun else 0.0

    def _look(self) -> list[tuple[int, int, int] | None]:
        seen: list[tuple[int, int, int] | None] = []
        for path in [folder / name for folder in self.folders for name in (CELL, EVENTS, PROGRESS, SHARDED)]:
            try:
                stat = os.stat(path)
                seen.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
            except OSError:
                seen.append(None)
        return seen


class Cluster(ABC):
    """Machines that run `paribus.lab.remote.answer_to` on requests."""

    @abstractmethod
    def send(self, text: str) -> Hashable:
        """Hand a request over, without waiting; the ticket by which `ended` will know it."""

    @abstractmethod
    def cancel(self, ticket: Hashable) -> None:
        """Stop what has not ended; `ended` will not tell of it."""

    @abstractmethod
    def ended(self) -> Sequence[tuple[Hashable, str | Lost]]:
        """The tickets that have ended since the last call, each once; waits some seconds for one, then gives none."""

    @abstractmethod
    def close(self) -> None:
        """Cancel whatever has not ended."""


class SpreadExecutor(Executor):
    """Keeps `jobs` cells at work on a cluster."""

    def __init__(self, cluster: Cluster, jobs: int, settings: Mapping[str, Any]) -> None:
        self.cluster, self.jobs, self.settings = cluster, jobs, dict(settings)
        self.cells = Path(self.settings["folder"]) / CELLS
        self.lost: Counter[str] = Counter()
        self.patience = patience_of(settings)

    def run(self, cells: Sequence[Cell], rates: Mapping[str, float]) -> Iterator[Event]:
        waiting = list(cells)
        unfinished = {cell.digest for cell in cells}
        at_work: dict[Hashable, Cell] = {}
        signs: dict[Hashable, _Signs] = {}
        told: dict[str, int] = {}
        while waiting or at_work:
            ready = [cell for cell in waiting if cell.weights is None or cell.weights.lead.digest not in unfinished]
            for cell in ready[: self.jobs - len(at_work)]:
                waiting.remove(cell)
                before = _Signs([self.cells / one.digest for one in cell.stacked])
                ticket = self.cluster.send(self._request(cell, rates))
                at_work[ticket], signs[ticket] = cell, before
            for ticket, answer in [*self.cluster.ended(), *self._silent(at_work, signs)]:
                cell = at_work.pop(ticket)
                result = self._lost(cell, answer) if isinstance(answer, Lost) else self._result(cell, answer)
                if result is None:
                    waiting.insert(0, cell)
                    yield Again(cell, answer.why if isinstance(answer, Lost) else "")
                    continue
                unfinished.remove(cell.digest)
                yield Finished(cell, result)
            for cell in at_work.values():
                if cell.kind == "train" and (done := self._steps(cell)) > told.get(cell.digest, 0):
                    told[cell.digest] = done
                    yield Progress(cell, done, cell.steps or done)

    def close(self) -> None:
        self.cluster.close()

    def _request(self, cell: Cell, rates: Mapping[str, float]) -> str:
        needs = None if cell.weights is None else cell.weights.digest
        further = {"settings": self.settings, "environment": asdict(cell.environment), "needs": needs}
        return json.dumps({**request(cell, rates), **further})

    def _result(self, cell: Cell, answer: str) -> dict[str, Any]:
        message = json.loads(answer)
        if "error" in message:
            raise failure(message, cell)
        for folder in [self.cells / one.digest for one in cell.stacked]:
            if not appears(folder / RESULT):
                raise InputError(
                    f"{spell(cell)}: a worker has finished it, and {folder} does not show it here: the run folder must "
                    "be on a file system that all machines share; choose such a place with --out"
                )
        result: dict[str, Any] = message["result"]
        return result

    def _silent(
        self, at_work: Mapping[Hashable, Cell], signs: Mapping[Hashable, "_Signs"]
    ) -> Iterator[tuple[Hashable, Lost]]:
        """Stop the workers that have begun and written nothing for longer than our patience; waiting is no silence."""
        for ticket, cell in at_work.items():
            limit = self.patience.limit(cell)
            if limit is not None and signs[ticket].silence() > limit:
                self.cluster.cancel(ticket)
                yield ticket, Lost(self.patience.spell(cell))

    def _lost(self, cell: Cell, lost: Lost) -> dict[str, Any] | None:
        """The result that a worker left before it was lost; None if the cell is to be tried again."""
        if (result := left_behind(self.cells, cell)) is not None:
            return result
        self.lost[cell.digest] += 1
        if (times := self.lost[cell.digest]) >= TRIES:
            raise CellFailed(
                f"{spell(cell)}: its worker was lost {times} times, which mostly means that memory ran out there, or "
                "that the cell hangs or is slower than expected: give the cells more memory, take a smaller batch, or "
                "give a longer --timeout SECONDS; finished cells are kept, and the same command goes on from them. The "
                f"last time: {lost.why}"
            )
        return None

    def _steps(self, cell: Cell) -> int:
        folders = [self.cells / one.digest for one in cell.stacked]
        return max((len(read_lines(one / EVENTS)) for one in folders if not whole(one)), default=0)
