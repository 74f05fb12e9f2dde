"""Give back the disk that runs no longer need: say first what would go, then delete exactly that.

Of a finished run, weights and what was left of its training go; plan, results, events, verdict and reports stay, and so
does every number. A run that was broken off goes as a whole when nothing was written in it for long. A run at work is
never touched, nor is any file that this page does not know.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from paribus.core.errors import ParibusError
from paribus.lab.catalogue import Line
from paribus.lab.folder import (
    ABOUT,
    CELL,
    CELLS,
    EVENTS,
    LOCK,
    LOCKS,
    MERGED,
    PATIENCE,
    PLAN,
    PROGRESS,
    REMOVED,
    RESULT,
    SHARDED,
    VERDICT,
    WEIGHTS,
)
from paribus.lab.on_disk import RunOnDisk, is_digest

DAY = 86400.0
PROGRAMS = "programs.json"  # beside a checkpoint, see training/loop.py, which loads torch

OF_A_RUN = {PLAN, ABOUT, MERGED, VERDICT, "report.html", "report.md"}
OF_A_CELL = {CELL, EVENTS, WEIGHTS, PROGRESS, RESULT, REMOVED, PROGRAMS}
JOB_FILE = re.compile(r"[\w.-]+\.(sh|pkl|out|err)")  # in slurm/, submitit's own
SHARD_FILE = re.compile(r"\.metadata(\.tmp)?|__\d+_\d+\.distcp")


@dataclass(frozen=True)
class Removal:
    """What would be deleted of one run, and why."""

    run: Path
    why: str
    files: tuple[Path, ...]
    bytes: int
    whole: bool  # the run itself goes, as far as everything in it is known
    foreign: tuple[Path, ...] = ()  # what is not ours and keeps the folder


def removals(lines: Sequence[Line], older_than: float, results: bool = False) -> tuple[list[Removal], list[str]]:
    """What would go, and what stays though one might expect otherwise, in sentences.

    older_than: days since the last write, after which a run that was broken off goes. results: of finished runs, cells
    go with their results, and only plan, verdict and reports stay.
    """
    found, kept = [], []
    for line in lines:
        if line.state == "damaged":
            kept.append(f"{line.path}: {line.problem}")
        elif line.state == "running":
            kept.append(f"{line.path}: a run is at work in it")
        elif line.path.is_symlink():
            kept.append(f"{line.path}: a link; name the folder that it points to")
        elif line.state == "done":
            removal = _of_finished(line, results)
            if removal.files:
                found.append(removal)
        else:
            days = (time.time() - RunOnDisk(line.path).last_touched()) / DAY
            if days > older_than:
                found.append(_of_broken_off(line, days))
            else:
                kept.append(
                    f"{line.path}: broken off, last written {days:.1f} days ago; --older-than {older_than:g} keeps it"
                )
    return found, kept


def remove(removal: Removal) -> int:
    """Delete it and return the bytes that were freed. Raises ParibusError if the run has changed, or cannot be deleted.

    A kill in between leaves a run of the same state: the plan goes last, and weights only once that is written down.
    """
    lock = FileLock(removal.run / LOCK)
    try:
        lock.acquire(timeout=PATIENCE)
    except (Timeout, OSError) as error:
        raise ParibusError(f"{removal.run}: a run is at work in it now, or it cannot be locked: left alone") from error
    try:
        if bool(RunOnDisk(removal.run).verdict) == removal.whole:
            raise ParibusError(f"{removal.run}: it has changed since: left alone")
        freed = 0
        for path in removal.files:
            if path.name == WEIGHTS and (path.parent / RESULT).exists():
                (path.parent / REMOVED).touch()
            size = path.lstat().st_size
            path.unlink()
            freed += size
        if removal.whole and not removal.foreign:
            (removal.run / LOCK).unlink(missing_ok=True)
        _rmdir_empty(removal.run, itself=removal.whole)
        return freed
    except FileNotFoundError as error:
        raise ParibusError(f"{removal.run}: {error.filename} is gone: somebody else cleans here; look again") from error
    except OSError as error:
        raise ParibusError(
            f"cannot delete {error.filename} ({error.strerror}): clean as the user whose run it is; what was deleted "
            "before is gone, the rest is untouched"
        ) from error
    finally:
        lock.release()


def _of_finished(line: Line, results: bool) -> Removal:
    going = []
    for file in known_files(line.path)[0]:
        place, *further = file.relative_to(line.path).parts
        half_written = any(part != _whole_name(part) for part in (place, *further))
        stays = not results and file.name in {CELL, EVENTS, RESULT, REMOVED}
        if half_written or place == LOCKS or (place == CELLS and not stays):
            going.append(file)
    going.sort(key=lambda file: file.name != RESULT)  # a cell without its result is no cell
    what = "all cells with their results" if results else "weights and leftovers of training"
    return _removal(line.path, f"finished: {what}", going, whole=False)


def _of_broken_off(line: Line, days: float) -> Removal:
    files, foreign = known_files(line.path)
    files.sort(key=lambda file: (file.name == PLAN, file.name != RESULT))  # whatever is left knows what it is
    why = f"broken off, last written {days:.0f} days ago: all of it, with {line.cells} finished cells"
    return replace(_removal(line.path, why, files, whole=True), foreign=tuple(foreign))


def _removal(run: Path, why: str, files: Sequence[Path], whole: bool) -> Removal:
    # An empty lock is no reason to clean.
    if all(file.parent.name == LOCKS for file in files) and not whole:
        files = ()
    return Removal(run, why, tuple(files), sum(file.lstat().st_size for file in files), whole)


def known_files(run: Path) -> tuple[list[Path], list[Path]]:
    """The files of a run that are ours, and what else lies there; links are never ours, nor followed."""
    ours, foreign = [], []
    for path in _walk(run):
        parts = path.relative_to(run).parts
        if path.is_symlink() or not path.is_file() or not _is_ours(parts):
            foreign.append(path)
        elif parts != (LOCK,):
            ours.append(path)
    return ours, foreign


def _is_ours(parts: Sequence[str]) -> bool:
    """Whether a path in a run is one that the laboratory writes."""
    match [_whole_name(part) for part in parts]:
        case [name]:
            return name in OF_A_RUN or name == LOCK
        case [place, cell] if place == LOCKS:
            return is_digest(cell)
        case ["slurm", name]:
            return JOB_FILE.fullmatch(name) is not None
        case [place, cell, name] if place == CELLS:
            return is_digest(cell) and name in OF_A_CELL
        case [place, cell, progress, name] if place == CELLS:
            return is_digest(cell) and progress == SHARDED and SHARD_FILE.fullmatch(name) is not None
    return False


def _whole_name(name: str) -> str:
    """The name under which a file is written beside its place first, or put aside."""
    return name.removesuffix(".partial").removesuffix(".old")


def _walk(folder: Path) -> Iterator[Path]:
    """Everything that is no folder, and links to folders."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _rmdir_empty(folder: Path, itself: bool) -> None:
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            _rmdir_empty(Path(entry.path), itself=True)
    if itself and not os.listdir(folder):
        folder.rmdir()
