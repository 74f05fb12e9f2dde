"""What is cleaned is what was shown; numbers, runs at work and other people's files stay."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from paribus.core.errors import ParibusError
from paribus.lab.catalogue import catalogue
from paribus.lab.clean import DAY, known_files, removals, remove
from paribus.lab.folder import CELLS, PLAN, PROGRESS, REMOVED, RESULT, WEIGHTS, RunFolder
from paribus.lab.plan import plan_json
from paribus.lab.verify import verify

LONG_AGO = time.time() - 40 * DAY


@pytest.fixture
def plan(laboratory):
    return laboratory.plan(profile="smoke")


@pytest.fixture
def done(laboratory, plan):
    """A finished run with what a killed worker leaves."""
    record, _ = laboratory.run(plan, "done")
    path = laboratory.root / "done"
    for name in ("report.html", "report.md"):
        (path / name).write_text("x")
    (path / "verdict.json").write_text(json.dumps(record.verdict_json()))
    cell = next((path / CELLS).glob(f"*/{WEIGHTS}")).parent
    (cell / PROGRESS).write_text("x")
    (cell / f"{WEIGHTS}.partial").write_text("x")
    shards = cell / "progress.old"
    shards.mkdir()
    for name in (".metadata", "__0_0.distcp"):
        (shards / name).write_text("x")
    shutil.copytree(cell, cell.with_name(cell.name + ".partial"))
    (path / "locks").mkdir()
    (path / "locks" / cell.name).touch()
    return path


@pytest.fixture
def broken_off(laboratory, plan):
    laboratory.run(plan, "broken off")
    path = laboratory.root / "broken off"
    next(path.glob(f"{CELLS}/*/{RESULT}")).unlink()
    age(path)
    return path


def age(path):
    for file in path.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))


def found(folder, older_than=30, results=False):
    with catalogue(folder) as index:
        return removals(index.lines(), older_than, results)


def names(path):
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} - {".lock"}


def test_a_finished_run_keeps_its_numbers(laboratory, plan, done):
    before = names(done)
    ((removal,), kept) = found(laboratory.root)
    assert kept == []
    assert removal.bytes == sum(file.stat().st_size for file in removal.files)
    assert names(done) == before, "looking deletes nothing"
    assert remove(removal) == removal.bytes
    gone = before - names(done)
    assert gone == {str(file.relative_to(done)) for file in removal.files}
    left = {Path(name).name for name in names(done)}
    assert left == {
        PLAN, "verdict.json", "report.html", "report.md", "cell.json", RESULT, "events.jsonl", REMOVED
    }  # fmt: skip
    assert verify(done / "verdict.json") == []
    assert laboratory.run(plan, "done")[1] == []
    assert found(laboratory.root) == ([], [])


def test_results_too_when_they_are_asked_for(laboratory, plan, done):
    ((removal,), _) = found(laboratory.root, results=True)
    remove(removal)
    assert names(done) == {PLAN, "verdict.json", "report.html", "report.md"}
    assert not (done / CELLS).exists()
    assert len(laboratory.run(plan, "done")[1]) > 0


def test_a_run_broken_off_long_ago_goes_as_a_whole(laboratory, broken_off):
    assert found(laboratory.root, older_than=50)[0] == []
    assert "broken off, last written 40.0 days ago" in found(laboratory.root, older_than=50)[1][0]
    ((removal,), kept) = found(laboratory.root)
    assert kept == []
    assert "broken off, last written 40 days ago" in removal.why
    assert removal.files[-1].name == PLAN
    remove(removal)
    assert not broken_off.exists()


def test_a_clean_that_is_killed_goes_on(laboratory, broken_off):
    ((removal,), _) = found(laboratory.root)
    for file in removal.files[:5]:
        file.unlink()
    ((rest,), _) = found(laboratory.root)
    assert set(rest.files) == set(removal.files[5:])
    remove(rest)
    assert not broken_off.exists()


def test_what_is_not_ours_stays(laboratory, broken_off, tmp_path):
    cell = next((broken_off / CELLS).iterdir())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / WEIGHTS).write_text("precious")
    foreign = {broken_off / "notes.txt", cell / "sketch.png", broken_off / CELLS / "mine" / WEIGHTS}
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    links = {broken_off / "locks", cell / PROGRESS}
    for link in links:
        link.symlink_to(tmp_path / "data", target_is_directory=True)
    for path in foreign:
        os.utime(path, (LONG_AGO, LONG_AGO))
    ((removal,), _) = found(laboratory.root, older_than=0)
    assert set(removal.foreign) == foreign | links
    remove(removal)
    assert {path for path in broken_off.rglob("*") if not path.is_dir() or path.is_symlink()} - {
        broken_off / ".lock"
    } == foreign | links
    assert (tmp_path / "data" / WEIGHTS).read_text() == "precious"


def test_a_run_at_work_is_never_touched(laboratory, plan, broken_off, done):
    removals_then, _ = found(laboratory.root)
    for path in (broken_off, done):
        before = names(path)
        with RunFolder(path).opened(plan_json(plan)):
            mine = next(one for one in removals_then if one.run == path)
            assert f"{path}: a run is at work in it" in found(laboratory.root)[1]
            with pytest.raises(ParibusError, match=r"a run is at work in it now.*left alone"):
                remove(mine)
        assert names(path) == before


def test_a_run_that_has_finished_since_is_left_alone(laboratory, plan, broken_off):
    ((removal,), _) = found(laboratory.root)
    record, _ = laboratory.run(plan, "broken off")
    (broken_off / "verdict.json").write_text(json.dumps(record.verdict_json()))
    with pytest.raises(ParibusError, match="it has changed since: left alone"):
        remove(removal)
    assert (broken_off / "verdict.json").exists()


def test_what_cannot_be_understood_stays(laboratory, broken_off, tmp_path):
    (broken_off / PLAN).write_text("{")
    assert found(laboratory.root)[0] == []
    assert "plan.json is damaged" in found(laboratory.root)[1][0]
    (tmp_path / "elsewhere").mkdir()
    broken_off.rename(tmp_path / "elsewhere" / "run")
    assert found(laboratory.root) == ([], [])


def test_a_link_to_a_run_stays(laboratory, broken_off, tmp_path):
    broken_off.rename(tmp_path / "run")
    broken_off.symlink_to(tmp_path / "run", target_is_directory=True)
    assert found(laboratory.root)[0] == []
    assert "a link; name the folder" in found(laboratory.root)[1][0]


def test_somebody_else_cleans_at_the_same_time(laboratory, done):
    ((removal,), _) = found(laboratory.root)
    removal.files[3].unlink()
    with pytest.raises(ParibusError, match=r"is gone: somebody else cleans here"):
        remove(removal)
    ((rest,), _) = found(laboratory.root)
    remove(rest)
    assert found(laboratory.root) == ([], [])


def test_every_file_of_a_run_is_known(laboratory, plan, done):
    assert known_files(done)[1] == []
    for name in ("1234_submission.sh", "1234_0_log.err", "1234_submitted.pkl"):
        (done / "slurm").mkdir(exist_ok=True)
        (done / "slurm" / name).touch()
    assert known_files(done)[1] == []
