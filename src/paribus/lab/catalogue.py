"""An SQLite index over a folder of runs: runs, cells, metrics, predictions. The files are the truth.

    <folder>/.catalogue.sqlite

It is brought up to date from the files at each opening, reading again only what changed since (by name, size, time and
inode), and built anew where it is absent, damaged or of another form. Deleting it loses nothing. Where it cannot be
written, it lives in memory for that once.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from paribus.core.errors import RunFolderError
from paribus.lab.folder import ABOUT, PLAN, VERDICT
from paribus.lab.on_disk import CellOnDisk, RunOnDisk, State, find_runs

NAME = ".catalogue.sqlite"
PATIENCE = 30.0  # seconds to wait for another process that brings it up to date

TABLES = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, stamp TEXT, problem TEXT, claim TEXT, version INTEGER, profile TEXT, plan TEXT, seeds INTEGER,
    command TEXT, host TEXT, planned INTEGER, verdict TEXT, finished TEXT
);
CREATE TABLE cells (
    run TEXT, cell TEXT, stamp TEXT, kind TEXT, phase TEXT, arm TEXT, replicate INTEGER, learning_rate REAL,
    status TEXT, seconds REAL, worker_bytes INTEGER, host TEXT, finished TEXT, bytes INTEGER, PRIMARY KEY (run, cell)
);
CREATE TABLE metrics (run TEXT, cell TEXT, metric TEXT, value REAL, PRIMARY KEY (run, cell, metric));
CREATE TABLE predictions (
    run TEXT, prediction TEXT, is_primary INTEGER, outcome TEXT, estimate REAL, low REAL, high REAL, unit TEXT,
    n INTEGER, PRIMARY KEY (run, prediction)
);
"""


@dataclass(frozen=True)
class Line:
    """A run in a list."""

    run: str
    path: Path
    state: State
    problem: str  # why nothing more is known, or ""
    claim: str
    version: int
    profile: str
    plan: str
    seeds: int
    command: str  # that began it or goes on with it, where run.json tells
    host: str
    cells: int  # finished
    planned: int | None  # cells in all; None where run.json does not tell
    seconds: float  # of the finished cells, on one worker each
    bytes: int  # of the cells' files
    verdict: str  # or ""
    finished: str


class Catalogue:
    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection, self.folder = connection, folder

    def lines(self) -> list[Line]:
        """Every run, by name. Whether one is at work is asked now: no file tells it."""
        told = """
            SELECT runs.*, count(iif(status IN ('finished', 'diverged'), 1, NULL)) AS done, total(seconds) AS cost,
                   total(bytes) AS held FROM runs LEFT JOIN cells USING (run) GROUP BY run ORDER BY run
        """
        lines = []
        for row in self.rows(told):
            path = self.folder / row["run"]
            lines.append(
                Line(
                    run=row["run"],
                    path=path,
                    state="damaged" if row["problem"] else RunOnDisk(path).state(),
                    problem=row["problem"],
                    claim=row["claim"],
                    version=row["version"],
                    profile=row["profile"],
                    plan=row["plan"],
                    seeds=row["seeds"],
                    command=row["command"],
                    host=row["host"],
                    cells=row["done"],
                    planned=row["planned"],
                    seconds=row["cost"],
                    bytes=int(row["held"]),
                    verdict=row["verdict"],
                    finished=row["finished"],
                )
            )
        return lines

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The answer to any question in SQL, a dict a row."""
        cursor = self.connection.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def refresh(self, runs: Iterable[RunOnDisk]) -> None:
        """Make the tables what the files say, in one transaction."""
        with self.connection:
            known = dict(self.connection.execute("SELECT run, stamp FROM runs"))
            for run in runs:
                name = run.path.name
                stamp = _stamp(run.path / file for file in (PLAN, ABOUT, VERDICT))
                if known.pop(name, None) != stamp:
                    self._forget(name)  # a cell's arm and phase are told by the plan
                    self._enter_run(run, stamp)
                self._refresh_cells(run)
            for name in known:
                self._forget(name)

    def _refresh_cells(self, run: RunOnDisk) -> None:
        name = run.path.name
        known = dict(self.connection.execute("SELECT cell, stamp FROM cells WHERE run = ?", (name,)))
        for cell in run.cells():
            files = _files(cell.path)
            stamp = _stamp(files)
            if known.pop(cell.digest, None) != stamp:
                self._forget_cell(name, cell.digest)
                self._enter_cell(run, cell, stamp, sum(file.stat().st_size for file in files if file.exists()))
        for digest in known:
            self._forget_cell(name, digest)

    def _enter_run(self, run: RunOnDisk, stamp: str) -> None:
        problem, plan = "", {}
        try:
            plan = run.plan
            verdict, about, digest = run.verdict, run.about, run.plan_digest
            entries = [entry for entry in verdict.get("predictions", []) if isinstance(entry, dict)]
        except RunFolderError as error:
            problem, verdict, about, digest, entries = str(error), {}, {}, "", []
        self._insert(
            "runs",
            {
                "run": run.path.name,
                "stamp": stamp,
                "problem": problem,
                "claim": plan.get("claim", ""),
                "version": plan.get("version", 0),
                "profile": plan.get("profile", ""),
                "plan": digest,
                "seeds": len(plan.get("settings", {}).get("seeds", [])),
                "command": about.get("command", ""),
                "host": about.get("host", ""),
                "planned": about.get("cells"),
                "verdict": verdict.get("verdict", ""),
                "finished": verdict.get("measured", {}).get("finished", ""),
            },
        )
        for entry in entries:
            low, high = entry.get("ci95") or (None, None)
            self._insert(
                "predictions",
                {
                    "run": run.path.name,
                    "prediction": entry.get("id"),
                    "is_primary": int(entry.get("id") == verdict.get("primary")),
                    "outcome": entry.get("outcome"),
                    "estimate": entry.get("estimate"),
                    "low": low,
                    "high": high,
                    "unit": entry.get("unit"),
                    "n": entry.get("n"),
                },
            )

    def _enter_cell(self, run: RunOnDisk, cell: CellOnDisk, stamp: str, size: int) -> None:
        described, result = cell.described, cell.result
        measured = result.get("measured", {})
        known = bool(described) and "schema" in _plan_or_nothing(run)
        self._insert(
            "cells",
            {
                "run": run.path.name,
                "cell": cell.digest,
                "stamp": stamp,
                "kind": described.get("kind", ""),
                "phase": run.phase_of(described) if known else "",
                "arm": run.arm_of(described) if known else "",
                "replicate": described.get("replicate"),
                "learning_rate": described.get("learning_rate"),
                "status": cell.status,
                "seconds": measured.get("seconds"),
                "worker_bytes": measured.get("worker_bytes"),
                "host": measured.get("host", ""),
                "finished": measured.get("finished", ""),
                "bytes": size,
            },
        )
        for name, value in result.get("metrics", {}).items():
            self._insert("metrics", {"run": run.path.name, "cell": cell.digest, "metric": name, "value": value})

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        places = ", ".join("?" * len(row))
        # What a file of ours holds in the place of a number or a text is stored as the text that it is.
        values = [v if v is None or isinstance(v, (int, float, str)) else json.dumps(v) for v in row.values()]
        self.connection.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({places})", values)

    def _forget(self, run: str) -> None:
        for table in ("runs", "cells", "metrics", "predictions"):
            self.connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    def _forget_cell(self, run: str, cell: str) -> None:
        for table in ("cells", "metrics"):
            self.connection.execute(f"DELETE FROM {table} WHERE run = ? AND cell = ?", (run, cell))


@contextmanager
def catalogue(folder: Path) -> Iterator[Catalogue]:
    """The index of a folder of runs as its files are now. Raises RunFolderError where there is no folder."""
    if not folder.is_dir():
        raise RunFolderError(f"there is no folder {folder}: give the folder in which the runs lie")
    runs = find_runs(folder)
    if not runs and not (folder / NAME).exists():
        with catalogue_of([], folder) as found:  # nothing is left behind in a folder that holds no runs
            yield found
        return
    lock = FileLock(folder / ".catalogue.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except (OSError, Timeout):
        with catalogue_of(runs, folder) as found:
            yield found
        return
    try:
        connection = _current(folder / NAME, folder, runs)
    finally:
        lock.release()
    try:
        yield Catalogue(connection, folder)
    finally:
        connection.close()


@contextmanager
def catalogue_of(runs: Sequence[RunOnDisk], folder: Path = Path()) -> Iterator[Catalogue]:
    """An index of these runs in memory."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(TABLES)
        found = Catalogue(connection, folder)
        found.refresh(runs)
        yield found
    finally:
        connection.close()


def _current(path: Path, folder: Path, runs: Sequence[RunOnDisk]) -> sqlite3.Connection:
    """A copy in memory of the index after it was brought up to date; what cannot be used is built anew."""
    for attempt in ("as it is", "anew", "in memory"):
        copy = sqlite3.connect(":memory:")
        try:
            if attempt == "anew":
                for end in ("", "-journal"):
                    path.with_name(path.name + end).unlink(missing_ok=True)
            if attempt == "in memory":
                copy.executescript(TABLES)
                Catalogue(copy, folder).refresh(runs)
                return copy
            with closing(sqlite3.connect(path)) as connection:
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    connection.executescript(f"BEGIN; {TABLES} COMMIT;")
                Catalogue(connection, folder).refresh(runs)
                connection.backup(copy)
            _check(copy)
        except (sqlite3.Error, OSError):  # damaged, of another form, or not to be written
            copy.close()
            if attempt == "in memory":
                raise
            continue
        except BaseException:
            copy.close()
            raise
        return copy
    raise AssertionError("the last attempt returns or raises")


def _check(connection: sqlite3.Connection) -> None:
    """Refuse an index that is damaged or has other tables."""
    told = "SELECT sql FROM sqlite_master WHERE sql NOT NULL"
    found = {row[0] for row in connection.execute(told)}
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(TABLES)
        wanted = {row[0] for row in fresh.execute(told)}
    (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != wanted or state != "ok":
        raise sqlite3.DatabaseError(f"other tables, or damaged: {state}")


def _plan_or_nothing(run: RunOnDisk) -> dict[str, Any]:
    try:
        return run.plan
    except RunFolderError:
        return {}


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.rglob("*") if not path.is_dir())
    except OSError:
        return []


def _stamp(files: Iterable[Path]) -> str:
    """Name, size, time and inode of each file that is there."""
    told = []
    for file in files:
        try:
            stat = os.stat(file, follow_symlinks=False)
        except OSError:
            continue
        told.append(f"{file.name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}")
    return "\n".join(told)
