"""What an interrupted `paribus train` leaves in the model's folder, so that the same command goes on from it.

    training.json           what is being trained: another training in the folder is refused
    progress.safetensors    weights, optimizer state and the number of steps done, whole or not at all
    programs.json           which programs of attention were measured to be the fastest

All of it goes when the training has ended.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from paribus.core.config import canonical_json
from paribus.core.errors import InputError
from paribus.lab.cell import Cell
from paribus.lab.folder import LOCK, PROGRESS, read_json, write_whole
from paribus.training.loop import PROGRAMS

TRAINING = "training.json"


def ours(name: str) -> bool:
    """Whether a file of a model's folder belongs to an unfinished training, half-written ones of a killed one too."""
    whole = name.removesuffix(".partial") in (TRAINING, PROGRESS, PROGRAMS, LOCK)
    return whole or name.startswith((".tmp", f"{PROGRAMS}."))


@contextmanager
def going_on(out: Path, cell: Cell) -> Iterator[Path]:
    """The file that keeps the state of this training, an earlier part of the same training included.

    It is removed at the end, and stays after an error or an interruption. Raises InputError where another training is
    unfinished or at work.
    """
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"another training is at work in {out}: wait for it, or choose another --out") from error
    try:
        _begin(out, cell)
        yield out / PROGRESS
        (out / TRAINING).unlink()  # first: a state that nothing describes is nobody's
        _sweep(out)
        (out / LOCK).unlink(missing_ok=True)
    finally:
        lock.release()


def _begin(out: Path, cell: Cell) -> None:
    path = out / TRAINING
    described = json.loads(canonical_json({"schema": "paribus.training/1", **cell.described()}))
    if path.exists() and (out / PROGRESS).exists():
        stored: dict[str, Any] = read_json(
            path, f"delete {out / PROGRESS} and run the same command again, from the start"
        )
        odd = sorted(key for key in described.keys() | stored.keys() if described.get(key) != stored.get(key))
        if odd:
            raise InputError(
                f"{out} holds an unfinished training that differs in {', '.join(odd)}: finish it by its own command, "
                f"give it up by deleting {out / PROGRESS}, or choose another folder with --out"
            )
        return
    _sweep(out)
    write_whole(path, json.dumps(described, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _sweep(out: Path) -> None:
    for entry in out.iterdir():
        if ours(entry.name) and entry.name != LOCK:
            entry.unlink()
