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
Two machines may compute other bits for one training: what was made on its weights, a reading or a further training, is
taken only where those very weights lie. A result of such a cell names their hash (`made_on`), that of a training the
hash of what it left (`weights`); older results without them are known by the numbers of the training.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
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
        """The finished result of a cell, here or in a neighbouring run, or None.

        One that was made on other weights than those that lie here is removed.
        """
        own = self.cell(cell)
        if (own / RESULT).exists() and made_on(_finished(own, cell), self._trained(cell)) is False:
            self.discard(cell)
        if not (own / RESULT).exists() and not self._borrow(cell):
            return None
        result = _finished(own, cell)
        (own / PROGRESS).unlink(missing_ok=True)  # of a worker that was killed just after its result
        return result

    def discard(self, cell: "Cell") -> None:
        """Remove a result, so that its cell is computed again."""
        (self.cell(cell) / RESULT).unlink(missing_ok=True)

    def _trained(self, cell: "Cell") -> dict[str, Any]:
        """The result of the training whose weights a cell takes, if it is here; else empty."""
        return {} if cell.weights is None else _result(self.cell(cell.weights))

    def _borrow(self, cell: "Cell") -> bool:
        """Copy a finished cell from a run folder beside this one, one with weights if there is; whether there was."""
        target = self.cell(cell)
        neighbours = sorted(self.path.resolve().parent.glob(f"*/{CELLS}/{cell.digest}"))
        for neighbour in sorted(neighbours, key=weights_removed):
            if not (neighbour / RESULT).exists() or neighbour == target.resolve():
                continue
            try:
                files = set(os.listdir(neighbour))
                result = _finished(neighbour, cell)
            except (RunFolderError, OSError):
                continue  # the other run's own affair
            if cell.weights is not None:
                there = _result(neighbour.parent / cell.weights.digest)
                if not goes_with(result, there, self._trained(cell)):
                    continue  # made on weights of other bits
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


def weights_hash(cell: Path) -> str:
    """The hash of the weights, or of the whole state, in a cell's folder; empty where it has none."""
    try:
        with open(cell / WEIGHTS, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        return ""


def made_on(result: Mapping[str, Any], trained: Mapping[str, Any]) -> bool | None:
    """Whether a result was made on the weights that a training left; None where one of them does not tell."""
    if "made_on" not in result or "weights" not in trained:
        return None
    return bool(result["made_on"] == trained["weights"])


def goes_with(result: Mapping[str, Any], there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether a result can be taken to where `here` is the result of the training that it needs; `there` is the result
    of the same training where it was made. Both are empty where there is none; one that is trained here only now is
    looked at by whoever trains it, if the result tells its weights."""
    if not here:
        return "made_on" in result
    known = made_on(result, here)
    if known is None:
        return _numbers(there) == _numbers(here)
    return known


def _numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    """All of a result but what is measured, and hashes that not every result has."""
    return {key: value for key, value in result.items() if key not in ("measured", "weights", "made_on")}


def _result(cell: Path) -> dict[str, Any]:
    """What stands in a cell's result file; empty where it is absent or damaged."""
    try:
        found = json.loads((cell / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
