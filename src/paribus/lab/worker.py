"""A worker process: one cell after another, asked for on stdin and reported on stdout, both as JSON lines.

    in   {"settings": {...}}                                   once: claim, profile, seeds, threads, corpus
    in   {"cell": digest, "arm": ..., "rates": {...}, ...}     a cell
    out  {"cell": digest, "begun": true}                       it is at work
    out  {"cell": digest, "done": k, "of": n}                  progress
    out  {"cell": digest, "result": {...}} or {"cell": digest, "error": text, "exit_code": n}

The worker builds the cell from the claim itself, so that nothing but JSON crosses the border, and refuses it if the
digest differs. When its stdin ends, its parent has died, and it stops at once, whatever it is doing: every file of a
cell is written whole or not at all.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from paribus.core.errors import CellFailed, ParibusError
from paribus.data.source import Stream
from paribus.lab.cell import Cell, Environment
from paribus.lab.claim import Measured, Trained
from paribus.lab.folder import CELLS, LOCKS, unwritten
from paribus.lab.load import load
from paribus.lab.plan import Plan, make_plan, with_dependencies
from paribus.lab.stack import compute
from paribus.lab.stdout import private_stdout
from paribus.lab.torchrun import under_torchrun

REPORT_EVERY = 0.2  # seconds between two progress lines of one cell


def find_cell(plan: Plan, wanted: dict[str, Any]) -> Cell:
    """The cell that the parent means, built here from the claim."""
    rates: dict[str, float] = wanted["rates"]
    if wanted["phase"] == "tune":
        # The rate of the cell, and of one that starts from it, are those in question; others are chosen already.
        ready = [arm for arm in plan.claim.trained_arms() if arm.starts_from is None or arm.starts_from in rates]
        cells = [cell for arm in ready for cell in plan.tuning_cells(arm, rates, [wanted["learning_rate"]])]
    else:
        cells = plan.verdict_cells(rates)
    for cell in with_dependencies(cells):
        if cell.digest == wanted["cell"]:
            return cell
    raise CellFailed(
        f"the claim no longer gives the cell {wanted['cell']} of arm {wanted['arm']!r}: its file, a part or the corpus "
        "changed while the run was going on; start the run again"
    )


class Worker:
    def __init__(self, settings: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self.say, self.settings = say, settings
        self.checkpoint_seconds: float = settings["checkpoint_seconds"]
        self.folder = Path(settings["folder"])
        torch.set_num_threads(settings["threads"])
        name, claim = load(settings["claim"])
        environment = Environment.here(settings["device"], settings["threads"])
        self.data = None if settings["data"] is None else Path(settings["data"])
        self.streams: dict[str, Stream] = {}  # by arm
        manifest: dict[str, Any] = {}
        if isinstance(claim.task, Trained):
            manifest = claim.task.data.open(self.data).manifest
        self.plan = make_plan(claim, name, settings["profile"], environment, manifest, settings["seeds"])
        self.told = 0.0

    def answer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        digest = wanted["cell"]
        self.say({"cell": digest, "begun": True})
        try:
            cell = find_cell(self.plan, wanted)
            cells = self.folder / CELLS
            # An orphaned worker of a killed run may hold the cell for a moment.
            (self.folder / LOCKS).mkdir(exist_ok=True)
            if cell.processes > 1 and cell.kind == "train":
                result = under_torchrun(self.settings, wanted, cell.processes, partial(self.tell, digest))
                return {"cell": digest, "result": result}
            with FileLock(self.folder / LOCKS / cell.lead.digest, timeout=60):
                tell = partial(self.tell, digest)
                task, stream = self.read_by(cell.arm)
                result = compute(cell, task, stream, cells, tell, self.checkpoint_seconds)
            return {"cell": digest, "result": result}
        except Timeout:
            return self.failure(digest, "another process is still at work on this cell: stop it and run again", 1)
        except ParibusError as error:
            return self.failure(digest, str(error), error.exit_code)
        except OSError as error:
            return self.failure(digest, unwritten(error, self.folder), 1)
        except Exception as error:  # whatever a user's model or metric raises belongs to this cell, not to the run
            return self.failure(digest, f"{type(error).__name__}: {error}", 1)

    def read_by(self, name: str) -> tuple[Trained | Measured, Stream | None]:
        """The task as this arm sees it, and its data."""
        task = self.plan.task
        if isinstance(task, Measured):
            return task, None
        data = self.plan.claim.data_of(self.plan.claim.arm(name))
        if name not in self.streams:
            self.streams[name] = data.open(self.data)
        return replace(task, data=data), self.streams[name]

    @staticmethod
    def failure(digest: str | None, text: str, exit_code: int) -> dict[str, Any]:
        return {"cell": digest, "error": text, "exit_code": exit_code}

    def tell(self, digest: str, done: int, of: int) -> None:
        if (now := time.monotonic()) - self.told > REPORT_EVERY:
            self.told = now
            self.say({"cell": digest, "done": done, "of": of})


def exited(error: SystemExit) -> str:
    """What to say when the code of a cell has ended Python, which nothing of this package does."""
    return f"its code called sys.exit({'' if error.code is None else repr(error.code)}): raise an error that says why"


def hear(inbox: "queue.Queue[dict[str, Any]]") -> None:
    """Take messages until the parent is no more."""
    for line in sys.stdin:
        inbox.put(json.loads(line))
    os._exit(1)


def main() -> None:
    protocol = private_stdout()

    def say(message: dict[str, Any]) -> None:
        protocol.write(json.dumps(message) + "\n")
        protocol.flush()

    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=hear, args=(inbox,), daemon=True).start()
    try:
        worker = Worker(inbox.get()["settings"], say)
    except Exception as error:
        code = error.exit_code if isinstance(error, ParibusError) else ParibusError.exit_code
        say(Worker.failure(None, f"a worker could not start: {error}", code))
        threading.Event().wait()  # until the parent stops it
    while True:
        wanted = inbox.get()
        try:
            told = worker.answer(wanted)
        except SystemExit as error:  # here and not above: a cluster ends its jobs so, to send them again
            told = Worker.failure(wanted["cell"], exited(error), 1)
        say(told)


if __name__ == "__main__":
    main()
