"""A run folder: the files are the truth.

    <run>/plan.json                      what was planned; another plan in the folder is an error
    <run>/cells/<digest>/cell.json       what the digest was made of
                         events.jsonl    one line a training step
                         weights.safetensors, progress.safetensors (while it trains)
                         result.json     written last, whole or not at all: the cell is finished
    <run>/verdict.json, report.html, report.md

One process works in a folder at a time. A cell that a neighbouring run has finished is copied, never computed again.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from paribus.core.errors import RunFolderError
from paribus.lab.cell import Cell

PLAN, CELLS, RESULT, WEIGHTS, EVENTS = "plan.json", "cells", "result.json", "weights.safetensors", "events.jsonl"


def write_whole(path: Path, text: str) -> None:
    """Write beside the target, flush to disk, rename over it: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{path} is damaged ({error}): delete {path.parent} and run the same command again, only that is redone"
        ) from error


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self, plan_text: str) -> Iterator["RunFolder"]:
        """Make or resume the folder for this plan and hold its lock."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"cannot make the run folder {self.path} ({error.strerror}): choose a writable place with --out"
            ) from error
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderError(
                f"another run is at work in {self.path}: wait for it, stop it, or choose another folder with --out"
            ) from error
        except OSError as error:
            raise RunFolderError(
                f"cannot write in {self.path} ({error.strerror}): choose a writable place with --out"
            ) from error
        try:
            self._claim(plan_text)
            yield self
        finally:
            lock.release()

    def _claim(self, plan_text: str) -> None:
        plan = self.path / PLAN
        if plan.exists():
            if read_json(plan) != json.loads(plan_text):
                raise RunFolderError(
                    f"{self.path} holds another plan ({plan}): choose another folder with --out, or leave --out away "
                    "and each plan gets its own"
                )
            return
        others = [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")]
        others = [name for name in others if name != PLAN + ".partial"]
        if others:
            raise RunFolderError(
                f"{self.path} is not a run folder: it has no {PLAN} but holds {', '.join(sorted(others)[:3])}; "
                "choose an empty or new folder with --out"
            )
        write_whole(plan, plan_text)

    def cell(self, cell: Cell) -> Path:
        return self.path / CELLS / cell.digest

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """The finished result of a cell, here or in a neighbouring run, or None."""
        own = self.cell(cell) / RESULT
        if not own.exists():
            self._borrow(cell)
        if not own.exists():
            return None
        result = read_json(own)
        if not isinstance(result, dict) or result.get("digest") != cell.digest or "status" not in result:
            raise RunFolderError(f"{own} is not the result of its cell: delete {own.parent} and run again")
        if cell.kind == "train" and result["status"] == "finished" and not (own.parent / WEIGHTS).exists():
            raise RunFolderError(f"{own.parent} has lost its {WEIGHTS}: delete {own.parent} and run again")
        return result

    def _borrow(self, cell: Cell) -> None:
        """Copy a finished cell from a run folder beside this one."""
        for neighbour in sorted(self.path.parent.glob(f"*/{CELLS}/{cell.digest}/{RESULT}")):
            source = neighbour.parent
            if source == self.cell(cell) or (cell.kind == "train" and not (source / WEIGHTS).exists()):
                continue
            target = self.cell(cell)
            shutil.rmtree(target, ignore_errors=True)
            partial = target.with_name(target.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
            os.replace(partial, target)
            return

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        write_whole(path, text)
        return path
