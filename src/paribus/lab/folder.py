"""A run folder: the files are the truth.

    <run>/plan.json                      what was planned; another plan in the folder is an error
    <run>/run.json                       who carried it out last: command, host, number of cells; no number hangs on it
    <run>/cells/<digest>/cell.json       what the digest was made of
                         events.jsonl    one line a training step
                         weights.safetensors, progress.safetensors (while it trains)
                         result.json     written last, whole or not at all: the cell is finished
                         weights.removed its weights were cleaned away: its numbers stand, who needs them trains anew
    <run>/merged.json                    the folders from which `paribus merge` brought cells
    <run>/verdict.json, report.html, report.md

One process works in a folder at a time. A cell that a neighbouring run has finished is copied, never computed again.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from paribus.core.errors import ParibusError, RunFolderError

if TYPE_CHECKING:
    from paribus.lab.cell import Cell  # loads torch, and who only lists runs does without

PLAN, CELLS, RESULT, WEIGHTS, EVENTS = "plan.json", "cells", "result.json", "weights.safetensors", "events.jsonl"
CELL, VERDICT, ABOUT, LOCK, LOCKS = "cell.json", "verdict.json", "run.json", ".lock", "locks"
PROGRESS, REMOVED, MERGED = "progress.safetensors", "weights.removed", "merged.json"
SHARDED = "progress"  # a folder: the same of a training by several processes
PATIENCE = 1.0  # seconds to wait for a lock: who only looks whether a run is at work holds it for a moment


def write_whole(path: Path, text: str) -> None:
    """Write beside the target, flush to disk, rename over it: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_json(path: Path, cure: str) -> Any:
    """The content of a file that was written whole; `cure` says what to do when it is whole no more."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is damaged ({error}): {cure}") from error


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file; a last line without its end was being written when the process died."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        return [line for line in file if line.endswith(b"\n")]


def unwritten(error: OSError, place: Path) -> str:
    """What to say when a file of a run could not be written."""
    cure = "give another place with --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
        cure = f"free space, or {cure}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = f"make it writable, or {cure}"
    return (
        f"cannot write {error.filename or place} ({error.strerror or error}): {cure}; finished cells are kept, and the "
        "same command goes on from them"
    )


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
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=PATIENCE)
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
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ParibusError(unwritten(error, self.path)) from error
        finally:
            lock.release()

    def _claim(self, plan_text: str) -> None:
        plan = self.path / PLAN
        if plan.exists():
            cure = "rename its folder and run the same command again, which takes the finished cells over from there"
            if read_json(plan, cure) != json.loads(plan_text):
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

    def cell(self, cell: "Cell") -> Path:
        return self.path / CELLS / cell.digest

    def result(self, cell: "Cell") -> dict[str, Any] | None:
        """The finished result of a cell, here or in a neighbouring run, or None."""
        own = self.cell(cell)
        if not (own / RESULT).exists() and not self._borrow(cell):
            return None
        result = _finished(own, cell)
        (own / PROGRESS).unlink(missing_ok=True)  # of a worker that was killed just after its result
        return result

    def _borrow(self, cell: "Cell") -> bool:
        """Copy a finished cell from a run folder beside this one, one with weights if there is; whether there was."""
        target = self.cell(cell)
        neighbours = sorted(self.path.resolve().parent.glob(f"*/{CELLS}/{cell.digest}"))
        for neighbour in sorted(neighbours, key=weights_removed):
            if not (neighbour / RESULT).exists() or neighbour == target.resolve():
                continue
            try:
                files = set(os.listdir(neighbour))
                _finished(neighbour, cell)
            except (RunFolderError, OSError):
                continue  # the other run's own affair
            try:
                bring(neighbour, target)
            except OSError:
                if neighbour.exists() and set(os.listdir(neighbour)) == files:
                    raise
                continue  # it was cleaned away just now
            return True
        return False

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        write_whole(path, text)
        return path


def whole(cell: Path) -> bool:
    """Whether a cell's folder has its result, and its weights if it ever had some."""
    return (cell / RESULT).exists() and not weights_removed(cell)


def weights_removed(cell: Path) -> bool:
    """Whether the weights in a cell's folder were cleaned away."""
    return (cell / REMOVED).exists() and not (cell / WEIGHTS).exists()


def bring(source: Path, target: Path) -> None:
    """Copy the folder of a finished cell: it is there whole, or not at all."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns("*.partial", PROGRESS))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _finished(folder: Path, cell: "Cell") -> dict[str, Any]:
    """The result in a cell's folder, if everything that belongs to it is there."""
    cure = f"delete {folder} and run the same command again, only that is redone"
    result = read_json(folder / RESULT, cure)
    known = isinstance(result, dict) and result.get("digest") == cell.digest
    if not known or not {"status", "metrics", "measured"} <= result.keys():
        raise RunFolderError(f"{folder / RESULT} is not the result of its cell: {cure}")
    trained = cell.kind == "train" and result["status"] == "finished"
    if trained and not (folder / WEIGHTS).exists() and not (folder / REMOVED).exists():
        raise RunFolderError(f"{folder} has lost its {WEIGHTS}: {cure}")
    return result
