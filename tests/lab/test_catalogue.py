"""The index over runs says what the files say, whatever became of it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from paribus.core.errors import RunFolderError
from paribus.lab import catalogue as module
from paribus.lab.catalogue import NAME, catalogue, catalogue_of
from paribus.lab.folder import CELLS, PLAN, RESULT, RunFolder
from paribus.lab.on_disk import RunOnDisk, find_runs
from paribus.lab.plan import plan_json


@pytest.fixture
def runs(laboratory):
    """A folder with a finished run, and one broken off after two cells."""
    plan = laboratory.plan(profile="smoke")
    record, _ = laboratory.run(plan, "first")
    (laboratory.root / "first" / "verdict.json").write_text(json.dumps(record.verdict_json()))
    shutil.copytree(laboratory.root / "first", laboratory.root / "second")
    second = laboratory.root / "second"
    (second / "verdict.json").unlink()
    for cell in sorted((second / CELLS).iterdir())[2:]:
        (cell / RESULT).unlink()
    return laboratory.root


def told(folder):
    with catalogue(folder) as found:
        return found.lines()


def everything(found):
    tables = ("runs", "cells", "metrics", "predictions")
    return {table: sorted(map(repr, found.rows(f"SELECT * FROM {table}"))) for table in tables}


def test_it_tells_what_the_files_tell(runs, laboratory):
    first, second = told(runs)
    assert (first.run, first.claim, first.profile, first.state) == ("first", "tiny", "smoke", "done")
    assert first.verdict == "undecided (smoke)"
    assert first.plan == laboratory.plan(profile="smoke").digest
    assert (second.state, second.verdict, second.cells) == ("broken off", "", 2)
    cells = list((runs / "first" / CELLS).iterdir())
    results = [json.loads((cell / RESULT).read_text()) for cell in cells]
    assert first.cells == len(cells)
    assert first.seconds == pytest.approx(sum(result["measured"]["seconds"] for result in results))
    assert first.bytes == sum(path.stat().st_size for cell in cells for path in cell.iterdir())
    with catalogue(runs) as found:
        losses = found.rows("SELECT value FROM metrics WHERE run = 'first' AND metric = 'loss@12'")
        assert sorted(row["value"] for row in losses) == sorted(
            result["metrics"]["loss@12"] for result in results if result["kind"] == "read"
        )
        (primary,) = found.rows("SELECT * FROM predictions WHERE is_primary")
        assert (primary["run"], primary["prediction"], primary["n"]) == ("first", "helps", 2)


def test_arms_and_phases_are_told_from_files(laboratory):
    plan = laboratory.plan(profile="tuned")
    record, _ = laboratory.run(plan, "run")
    with catalogue(laboratory.root) as found:
        rows = found.rows("SELECT * FROM cells")
    by_digest = {row["cell"]: row for row in rows}
    ours = [*record.trained.values(), *record.read.values(), *record.twins.values()]
    for computed in ours:
        row = by_digest.pop(computed.cell.digest)
        assert (row["arm"], row["phase"], row["kind"]) == (computed.cell.arm, computed.cell.phase, computed.cell.kind)
        assert (row["replicate"], row["learning_rate"]) == (computed.cell.replicate, computed.cell.learning_rate)
    assert sorted((row["phase"], row["arm"]) for row in by_digest.values() if row["phase"] == "tune") == sorted(
        ("tune", one.arm) for one in record.tried
    )


def test_what_changed_is_read_again_and_nothing_else(runs, monkeypatch):
    told(runs)
    entered = []
    enter = module.Catalogue._enter_cell
    monkeypatch.setattr(
        module.Catalogue,
        "_enter_cell",
        lambda self, run, cell, *rest: (entered.append((run.path.name, cell.digest)), enter(self, run, cell, *rest)),
    )
    told(runs)
    assert entered == []
    cell = sorted((runs / "first" / CELLS).iterdir())[0]
    (cell / RESULT).write_text("{")
    shutil.rmtree(sorted((runs / "first" / CELLS).iterdir())[1])
    before = len(list((runs / "second" / CELLS).iterdir()))
    first, _ = told(runs)
    assert entered == [("first", cell.name)]
    assert first.cells == before - 2
    with catalogue(runs) as found:
        assert found.rows("SELECT status FROM cells WHERE run = 'first' AND cell = ?", (cell.name,)) == [
            {"status": "damaged"}
        ]
        assert found.rows("SELECT 1 FROM metrics WHERE run = 'first' AND cell = ?", (cell.name,)) == []
    shutil.rmtree(runs / "second")
    assert [line.run for line in told(runs)] == ["first"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"no more than that" * 500),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b""),
        lambda path: sqlite3.connect(path).executescript("DROP TABLE metrics"),
        lambda path: sqlite3.connect(path).executescript("ALTER TABLE runs ADD COLUMN mood TEXT"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_an_index_that_is_lost_is_built_anew(runs, damage):
    with catalogue(runs) as found:
        before = everything(found)
    damaged = damage(runs / NAME)
    if isinstance(damaged, sqlite3.Cursor):
        damaged.connection.close()
    with catalogue(runs) as found:
        assert everything(found) == before
    with catalogue_of(find_runs(runs), runs) as found:
        assert everything(found) == before


def test_damaged_and_foreign_files_are_told(runs):
    (runs / "third").mkdir()
    (runs / "third" / PLAN).write_text('{"schema": "paribus.pl')
    (runs / "fourth").mkdir()
    (runs / "fourth" / PLAN).write_text('{"schema": "a floor plan"}')
    (runs / "thesis").mkdir()
    (runs / "first" / "verdict.json").write_text('{"plan": 3}')
    by_name = {line.run: line for line in told(runs)}
    assert by_name.keys() == {"first", "second", "third", "fourth"}
    assert by_name["first"].state == "broken off"
    assert by_name["third"].state == by_name["fourth"].state == "damaged"
    assert "is damaged" in by_name["third"].problem
    assert "no plan of schema" in by_name["fourth"].problem


def test_a_run_that_is_at_work(runs, laboratory):
    with RunFolder(runs / "second").opened(plan_json(laboratory.plan(profile="smoke"))):
        assert [line.state for line in told(runs)] == ["done", "running"]
    assert [line.state for line in told(runs)] == ["done", "broken off"]


HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print(flush=True)
    time.sleep(0.3)
"""


def test_looking_at_a_run_never_stops_one_from_starting(runs, laboratory):
    """The lock is taken for a moment to see whether somebody holds it: a run that starts then waits."""
    looking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD,
            str(runs / "second" / ".lock"),
        ],
        stdout=subprocess.PIPE,
    )
    looking.stdout.readline()
    with RunFolder(runs / "second").opened(plan_json(laboratory.plan(profile="smoke"))):
        pass
    looking.wait()
    looking.stdout.close()


LOOK = """
import sys
from pathlib import Path
from paribus.lab.catalogue import catalogue
for _ in range(15):
    with catalogue(Path(sys.argv[1])) as found:
        assert [line.run for line in found.lines()] == ["first", "second"], found.lines()
assert "torch" not in sys.modules
"""


def test_two_processes_at_once(runs):
    looking = [subprocess.Popen([sys.executable, "-c", LOOK, str(runs)]) for _ in range(2)]
    while any(process.poll() is None for process in looking):
        (runs / NAME).write_bytes(b"spoilt under them")  # as hard as it gets
        for process in looking:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                break
    assert [process.returncode for process in looking] == [0, 0]


def test_a_folder_that_cannot_be_written(runs, monkeypatch):
    def refuse(self, *words, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.FileLock, "acquire", refuse)
    assert [line.run for line in told(runs)] == ["first", "second"]
    assert not (runs / NAME).exists()


def test_a_folder_without_runs(tmp_path):
    assert told(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunFolderError, match="there is no folder"):
        told(tmp_path / "nowhere")


def test_a_link_among_the_cells_is_no_cell(runs):
    os.symlink(runs / "first", runs / "second" / CELLS / ("a" * 32))
    (runs / "second" / CELLS / "notes").mkdir()
    names = [cell.digest for cell in RunOnDisk(runs / "second").cells()]
    assert "a" * 32 not in names
    assert "notes" not in names
