"""A worker process: one cell after another, asked for on stdin and reported on stdout, both as JSON lines.

    in   {"settings": {...}}                                   once: claim, profile, seeds, threads, corpus
    in   {"cell": digest, "arm": ..., "rates": {...}, ...}     a cell
    out  {"cell": digest, "done": k, "of": n}                  progress
    out  {"cell": digest, "result": {...}} or {"cell": digest, "error": text, "exit_code": n}

The worker builds the cell from the claim itself, so that nothing but JSON crosses the border, and refuses it if the
digest differs. It stops by itself when its parent has died.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from paribus.core.errors import CellFailed, ParibusError
from paribus.data.source import Stream
from paribus.lab.cell import Cell, Environment
from paribus.lab.claim import Trained
from paribus.lab.load import load
from paribus.lab.plan import Plan, make_plan, with_dependencies
from paribus.lab.work import do

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
    def __init__(self, settings: dict[str, Any]) -> None:
        self.parent = os.getppid()
        self.folder = Path(settings["folder"])
        torch.set_num_threads(settings["threads"])
        name, claim = load(settings["claim"])
        environment = Environment.here(settings["device"], settings["threads"])
        self.stream: Stream | None = None
        manifest: dict[str, Any] = {}
        if isinstance(claim.task, Trained):
            path = settings["data"]
            self.stream = claim.task.data.open(None if path is None else Path(path))
            manifest = self.stream.manifest
        self.plan = make_plan(claim, name, settings["profile"], environment, manifest, settings["seeds"])
        self.told = 0.0

    def answer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        digest = wanted["cell"]
        try:
            cell = find_cell(self.plan, wanted)
            cells = self.folder / "cells"
            # An orphaned worker of a killed run may still hold the cell; it lets go within a step.
            (self.folder / "locks").mkdir(exist_ok=True)
            with FileLock(self.folder / "locks" / digest, timeout=60):
                result = do(cell, self.plan.task, self.stream, cells, lambda done, of: self.tell(digest, done, of))
            return {"cell": digest, "result": result}
        except Timeout:
            return self.failure(digest, "another process is still at work on this cell: stop it and run again", 1)
        except ParibusError as error:
            return self.failure(digest, str(error), error.exit_code)
        except OSError as error:
            return self.failure(
                digest,
                f"{error.strerror or error} ({error.filename or self.folder}): free space or give another --out; "
                "finished cells are kept, the same command goes on from them",
                1,
            )
        except Exception as error:  # whatever a user's model or metric raises belongs to this cell, not to the run
            return self.failure(digest, f"{type(error).__name__}: {error}", 1)

    @staticmethod
    def failure(digest: str, text: str, exit_code: int) -> dict[str, Any]:
        return {"cell": digest, "error": text, "exit_code": exit_code}

    def tell(self, digest: str, done: int, of: int) -> None:
        if os.getppid() != self.parent:
            os._exit(1)
        if (now := time.monotonic()) - self.told > REPORT_EVERY:
            self.told = now
            say({"cell": digest, "done": done, "of": of})


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    # Prints of a user's model must not mix with the protocol.
    protocol, sys.stdout = sys.stdout, sys.stderr
    settings = json.loads(sys.stdin.readline())["settings"]
    sys.stdout = protocol
    try:
        worker = Worker(settings)
    except ParibusError as error:
        say({"cell": None, "error": str(error), "exit_code": error.exit_code})
        return
    for line in sys.stdin:
        say(worker.answer(json.loads(line)))


if __name__ == "__main__":
    main()
