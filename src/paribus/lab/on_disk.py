"""What lies in a run folder, told from its files alone: no claim is imported and no torch, and nothing is changed."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from paribus.core.config import canonical_json, digest
from paribus.core.errors import RunFolderError
from paribus.lab.folder import ABOUT, CELL, CELLS, LOCK, PLAN, RESULT, VERDICT, read_json

State = Literal["done", "broken off", "running", "damaged"]

DIGEST_LENGTH = 32  # hexadecimal digits in the name of a cell's folder
NO_CURE = "its own run redoes it"


@dataclass(frozen=True)
class CellOnDisk:
    """A cell's folder. `described` and `result` are empty where the file is absent or damaged."""

    path: Path

    @property
    def digest(self) -> str:
        return self.path.name

    @cached_property
    def described(self) -> dict[str, Any]:
        return _object(self.path / CELL)

    @cached_property
    def result(self) -> dict[str, Any]:
        result = _object(self.path / RESULT)
        whole = {"status", "metrics", "measured"} <= result.keys() and result.get("digest") == self.digest
        return result if whole else {}

    @property
    def status(self) -> str:
        """ "finished", "diverged", "unfinished", or "damaged"."""
        if not (self.path / RESULT).exists():
            return "unfinished"
        return str(self.result.get("status", "damaged"))


@dataclass(frozen=True)
class RunOnDisk:
    path: Path

    @cached_property
    def plan(self) -> dict[str, Any]:
        """plan.json. Raises RunFolderError where it is absent, damaged, or no plan of ours."""
        path = self.path / PLAN
        if not path.is_file():
            raise RunFolderError(f"{self.path} is not a run folder: it has no {PLAN}; give the folder of a run")
        plan = read_json(path, "take the file from a copy of the run, or leave this folder out")
        if not isinstance(plan, dict) or plan.get("schema") != "paribus.plan/1":
            raise RunFolderError(f"{path} is no plan of schema paribus.plan/1: {self.path} is not a run folder")
        return plan

    @cached_property
    def plan_digest(self) -> str:
        return digest(self.plan)

    @cached_property
    def verdict(self) -> dict[str, Any]:
        """verdict.json, if it is whole and the verdict of this plan; else empty."""
        verdict = _object(self.path / VERDICT)
        return verdict if verdict.get("plan") == self.plan_digest and "verdict" in verdict else {}

    @cached_property
    def about(self) -> dict[str, Any]:
        """run.json: who carried the plan out last, and how many cells it has; empty for a run without it."""
        return _object(self.path / ABOUT)

    def state(self) -> State:
        try:
            done = bool(self.verdict)
        except RunFolderError:
            return "damaged"
        return "running" if held(self.path) else "done" if done else "broken off"

    def cells(self) -> Iterator[CellOnDisk]:
        """The folders under cells/ that are named like a digest, links left out."""
        try:
            entries = sorted(os.scandir(self.path / CELLS), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if is_digest(entry.name) and entry.is_dir(follow_symlinks=False):
                yield CellOnDisk(Path(entry.path))

    def arm_of(self, described: Mapping[str, Any]) -> str:
        """The arm of a cell, known by its config; "" where the plan has none like it."""
        return self._arms.get(canonical_json(described.get("config")), "")

    def phase_of(self, described: Mapping[str, Any]) -> str:
        """ "tune", "verdict", "trend" or "aa": no part of a cell's description, but seeds, weights and steps tell."""
        weights = described.get("weights")
        if described.get("kind") == "read" and weights is not None:
            described = CellOnDisk(self.path / CELLS / weights).described or described
        if described.get("perturbed"):
            return "aa"
        settings = self.plan["settings"]
        if described.get("replicate") in settings.get("tuning_seeds", []):
            return "tune"
        if settings.get("trend"):
            task = self.plan["task"]
            whole = settings["budget"]["tokens"] / (
                task["recipe"]["batch"] * (task.get("span") or task["train_length"])
            )
            if (described.get("steps") or 0) < round(whole):
                return "trend"
        return "verdict"

    def last_touched(self) -> float:
        """When something was last written in it, in seconds since 1970."""
        places = [self.path, *(cell.path for cell in self.cells())]
        files = [file for place in places for file in place.iterdir() if file.name != LOCK and not file.is_dir()]
        return max((file.lstat().st_mtime for file in files), default=time.time())

    @cached_property
    def _arms(self) -> dict[str, str]:
        return {canonical_json(arm.get("config")): arm["name"] for arm in self.plan["arms"]}


def is_digest(name: str) -> bool:
    return len(name) == DIGEST_LENGTH and set(name) <= set("0123456789abcdef")


def find_runs(folder: Path) -> list[RunOnDisk]:
    """The run folders in a folder, by name; those whose plan is damaged are among them."""
    try:
        return [RunOnDisk(path) for path in sorted(folder.iterdir()) if (path / PLAN).is_file()]
    except OSError as error:
        raise RunFolderError(
            f"cannot look into {folder} ({error.strerror}): give a folder that you may read"
        ) from error


def held(folder: Path) -> bool:
    """Whether a process is at work in a run folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, and for a moment only: a run that starts just now waits that long.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _object(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, NO_CURE)
    except RunFolderError:
        return {}
    return value if isinstance(value, dict) else {}
