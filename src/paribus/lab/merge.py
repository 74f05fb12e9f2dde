"""Put the finished cells of several folders of one plan into one run, as if one machine had computed them.

Nothing is computed and no source is changed. Every cell is copied whole or not at all, so a merge that was stopped is
finished by the same command. Two machines may compute other bits for one cell (another processor): then the first
folder's stands, and only readings of those very weights are taken along.
"""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from paribus.core.config import digest
from paribus.core.errors import InputError, RunFolderError
from paribus.lab.folder import (
    CELLS,
    LOCK,
    MERGED,
    PLAN,
    WEIGHTS,
    RunFolder,
    bring,
    goes_with,
    read_json,
    weights_removed,
)
from paribus.lab.on_disk import DIGEST_LENGTH, CellOnDisk, RunOnDisk

SPARE = 2**20  # bytes to leave free

# What differs between two plans -> what can be done about it.
CURES = {
    "claim": "runs of two claims or profiles are never one",
    "data": (
        "results on other data are never pooled: give all machines the same files (python-stdlib and python-docs are "
        "the interpreter's own, so the same Python), and let the same command run again"
    ),
    "environment": (
        "the bits of a result depend on it: install one torch on all machines and take processors or GPUs of one "
        "kind, then let the same command run again"
    ),
    "version": "install one version of paribus on all machines and let the same command run again",
    "seeds": (
        "no merge is needed: lay the two folders side by side, and a run takes over every cell that a neighbour has "
        "finished"
    ),
    "plan": "let the same version of the claim run on all machines",
}


@dataclass(frozen=True)
class Merged:
    """What a merge has done. `taken` and `unfinished` count by source; `left_out` says why, a sentence a cell."""

    target: Path
    there: int
    taken: Mapping[Path, int]
    unfinished: Mapping[Path, int]
    left_out: Sequence[str]


def merge(sources: Sequence[Path], target: Path) -> Merged:
    """Merge the run folders into `target`, which is made if it is not there and may be one of them.

    Raises RunFolderError for folders of other plans, running ones and foreign ones, InputError for too little room.
    """
    runs = _distinct(RunOnDisk(path) for path in sources)
    here = RunOnDisk(target)
    if (target / PLAN).exists() and not any(_same(run.path, target) for run in runs):
        runs.insert(0, here)
    first = runs[0]
    for other in runs[1:]:
        if differences := plan_differences(first.plan, other.plan):
            raise RunFolderError(_refusal(first.path, other.path, differences))
    text = json.dumps(first.plan, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    with ExitStack() as stack:
        others = [run for run in runs if not _same(run.path, target)]
        for run in others:
            stack.enter_context(_at_rest(run.path))
        folder = stack.enter_context(RunFolder(target).opened(text))
        order = [here, *others]  # what is there stays
        chosen, left_out = choose(order)
        coming = {cell.digest: run for run, cell in chosen.values() if run is not here}
        _check_room([cell for run, cell in chosen.values() if run is not here], target)
        for name in coming:
            bring(chosen[name][1].path, target / CELLS / name)
        taken = Counter(run.path for run in coming.values())
        unfinished = {
            run.path: sum(cell.status == "unfinished" and cell.digest not in chosen for cell in run.cells())
            for run in others
        }
        if coming:
            folder.write(MERGED, json.dumps(_account(target, others, taken), indent=1, ensure_ascii=False) + "\n")
    return Merged(
        target=target,
        there=len(chosen) - len(coming),
        taken={run.path: taken[run.path] for run in others},
        unfinished={path: count for path, count in unfinished.items() if count},
        left_out=left_out,
    )


Choice = dict[str, tuple[RunOnDisk, CellOnDisk]]


def choose(runs: Sequence[RunOnDisk]) -> tuple[Choice, list[str]]:
    """Digest -> the run to take a finished cell from, earlier ones first; and why some were left out."""
    finished: dict[str, list[tuple[RunOnDisk, CellOnDisk]]] = {}
    left_out = []
    for run in runs:
        for cell in run.cells():
            if cell.status == "unfinished":
                continue
            if problem := damage(cell):
                left_out.append(f"{cell.path}: {problem}")
            else:
                finished.setdefault(cell.digest, []).append((run, cell))
    chosen: Choice = {}

    def settle(name: str) -> None:
        if name in chosen or name not in finished:
            return
        needs = finished[name][0][1].described["weights"]
        if needs is not None:
            settle(needs)
        for run, cell in finished[name]:
            there = {} if needs is None else CellOnDisk(run.path / CELLS / needs).result
            if needs is None or goes_with(cell.result, there, chosen[needs][1].result if needs in chosen else {}):
                chosen[name] = run, cell
                return
        why = "it belongs to weights with other bits than those taken"
        if needs not in chosen:
            why = "its weights are in none of the folders, and it does not tell which they were"
        left_out.append(f"{finished[name][0][1].path}: {why}; it is computed anew")

    for name in finished:
        settle(name)
    return chosen, left_out


def damage(cell: CellOnDisk) -> str:
    """Why a finished cell cannot be used, or ""."""
    if digest(cell.described)[:DIGEST_LENGTH] != cell.digest or "weights" not in cell.described:
        return "its cell.json is not what its digest was made of"
    if not cell.result:
        return "its result.json is damaged"
    weights = cell.path / WEIGHTS
    if cell.described.get("kind") != "train" or cell.status != "finished" or weights_removed(cell.path):
        return ""
    try:
        with safe_open(weights, framework="numpy"):
            return ""
    except (OSError, SafetensorError) as error:
        return f"its {WEIGHTS} cannot be read ({error})"


def plan_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key of CURES, what differs in words), for two plan.json."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        ours, theirs = one.get(key), other.get(key)
        if ours == theirs:
            continue
        if key in ("claim", "profile"):
            found.append(("claim", f"{key} {ours} against {theirs}"))
        elif key == "manifest":
            found.append(("data", f"the data (manifest {str(ours)[:12]} against {str(theirs)[:12]})"))
        elif key in ("environment", "revisions") and isinstance(ours, dict) and isinstance(theirs, dict):
            kind = "environment" if key == "environment" else "version"
            for name in sorted(ours.keys() | theirs.keys()):
                if (a := ours.get(name, "absent")) != (b := theirs.get(name, "absent")):
                    word = name if kind == "environment" else f"revision of {name}"
                    found.append((kind, f"{word} {a} against {b}"))
        elif key == "engine":
            found.append(("version", f"revision of the engine {ours} against {theirs}"))
        elif key == "settings" and _but_seeds(ours) == _but_seeds(theirs):
            found.append(("seeds", f"{len(one['settings']['seeds'])} seeds against {len(other['settings']['seeds'])}"))
        else:
            found.append(("plan", f"{key} of the claim"))
    return found


def _but_seeds(settings: Any) -> Any:
    return {**settings, "seeds": []} if isinstance(settings, dict) else settings


def _refusal(one: Path, other: Path, differences: Sequence[tuple[str, str]]) -> str:
    told = ", ".join(words for _, words in differences)
    kinds = dict.fromkeys(kind for kind, _ in differences)
    for deciding in ("claim", "data", "environment", "version", "plan"):
        if deciding in kinds:  # one cure is enough: the others would not help
            return f"{one} and {other} are not of one plan: {told}; {CURES[deciding]}"
    return f"{one} and {other} are not of one plan: {told}; {CURES['seeds']}"


@contextmanager
def _at_rest(folder: Path) -> Iterator[None]:
    """Hold a source, which may be on a disk that cannot be written, so that no run starts in it."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:  # it was copied without, or belongs to somebody else
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(f"a run is at work in {folder}: wait for it or stop it, then merge") from error
        yield
    finally:
        os.close(descriptor)


def _check_room(cells: Sequence[CellOnDisk], target: Path) -> None:
    need = sum(file.stat().st_size for cell in cells for file in cell.path.iterdir()) + SPARE
    free = shutil.disk_usage(target).free
    if need > free:
        raise InputError(
            f"the cells to copy need {need / 2**20:.1f} MiB, {free / 2**20:.1f} MiB are free in {target}: free space "
            "(`paribus clean` shows what can go), or choose another place with --out"
        )


def _account(target: Path, runs: Sequence[RunOnDisk], taken: Mapping[Path, int]) -> dict[str, Any]:
    """merged.json: where the cells came from, and how often the test split was opened there."""
    entries: dict[str, Any] = {}
    if (target / MERGED).exists():
        entries = {one["folder"]: one for one in read_json(target / MERGED, "delete it, and merge again")["from"]}
    for run in runs:
        folder = str(run.path.resolve())
        before = entries.get(folder, {"cells": 0})
        entries[folder] = {
            "folder": folder,
            "cells": before["cells"] + taken[run.path],
            "hosts": sorted({str(cell.result.get("measured", {}).get("host", "")) for cell in run.cells()} - {""}),
            "test_openings": run.verdict.get("measured", {}).get("test_openings", 0),
        }
    return {"schema": "paribus.merged/1", "from": list(entries.values())}


def _distinct(runs: Iterator[RunOnDisk]) -> list[RunOnDisk]:
    found: dict[Path, RunOnDisk] = {}
    for run in runs:
        _ = run.plan  # whatever is no run folder is told now
        found.setdefault(run.path.resolve(), run)
    return list(found.values())


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
