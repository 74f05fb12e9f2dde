"""A run folder tells what is wrong with it, loses nothing, and takes over what its neighbours finished."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from paribus.core.errors import ParibusError, RunFolderError
from paribus.lab.folder import CELLS, PROGRESS, RESULT, WEIGHTS, RunFolder, unwritten, write_whole
from paribus.lab.plan import plan_json

RATES = {"rotary": 1e-2, "none": 1e-2}


@pytest.fixture
def plan(laboratory):
    return laboratory.plan(profile="smoke")


@pytest.fixture
def finished(laboratory, plan):
    """A finished run."""
    laboratory.run(plan, "first")
    return RunFolder(laboratory.root / "first")


def training(plan):
    return plan.verdict_cells(RATES)[0].weights


def test_files_are_whole_or_absent(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_whole(path, "old")
    full = path.with_name("file.json.partial")
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert not os.path.lexists(full)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_one_run_at_a_time(plan, tmp_path):
    with (
        RunFolder(tmp_path / "run").opened(plan_json(plan)),
        pytest.raises(RunFolderError, match=r"another run is at work in .*--out"),
        RunFolder(tmp_path / "run").opened(plan_json(plan)),
    ):
        pass
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        pass


def refusal(path, plan):
    with pytest.raises(RunFolderError) as caught, RunFolder(path).opened(plan_json(plan)):
        pass
    return str(caught.value)


def test_another_plan(laboratory, plan, tmp_path):
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        pass
    assert "holds another plan" in refusal(tmp_path / "run", laboratory.plan(profile="smoke", seeds=3))


def test_a_folder_of_somebody_else(plan, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    told = refusal(tmp_path, plan)
    assert "is not a run folder" in told
    assert "thesis.tex" in told
    assert "--out" in told
    assert not (tmp_path / "plan.json").exists()
    (tmp_path / "thesis.tex").unlink()
    (tmp_path / "plan.json.partial").write_text("{")  # of a run that was killed before its first file
    with RunFolder(tmp_path).opened(plan_json(plan)):
        assert json.loads((tmp_path / "plan.json").read_text())["schema"] == "paribus.plan/1"


@pytest.mark.parametrize("text", ["", '{"schema": "parib', "\udc80".encode("utf-8", "surrogateescape")])
def test_a_damaged_plan_costs_nothing(laboratory, plan, finished, text):
    path = finished.path / "plan.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    told = refusal(finished.path, plan)
    assert f"{path} is damaged" in told
    assert "rename its folder" in told
    finished.path.rename(finished.path.with_name("aside"))  # what the message says
    _, computed = laboratory.run(plan, "first")
    assert computed == []


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_no_folder_can_be_made_there(plan, tmp_path, place):
    (tmp_path / "file").write_text("x")
    assert "choose a writable place with --out" in refusal(tmp_path / place, plan)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a file system that refuses even root")
def test_no_permission(plan):
    told = refusal(Path("/sys/kernel/paribus"), plan)
    assert "cannot make the run folder" in told
    assert "ermi" in told  # Permission denied, or: Operation not permitted


def test_a_full_disk(plan, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json.partial").symlink_to("/dev/full")
    with (
        pytest.raises(ParibusError, match=r"No space left.*free space.*finished cells are kept") as caught,
        RunFolder(tmp_path / "run").opened(plan_json(plan)),
    ):
        pass
    assert caught.value.exit_code == 1
    assert not os.path.lexists(tmp_path / "run" / "plan.json")


def test_what_to_do_depends_on_what_failed():
    assert "free space" in unwritten(OSError(errno.ENOSPC, "No space left on device", "x"), Path("run"))
    assert "make it writable" in unwritten(OSError(errno.EROFS, "Read-only file system", "x"), Path("run"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda cell: (cell / RESULT).write_text('{"digest": '), "is damaged"),
        (lambda cell: (cell / RESULT).write_text("[]"), "is not the result of its cell"),
        (lambda cell: (cell / RESULT).write_text('{"digest": "0"}'), "is not the result of its cell"),
        (lambda cell: (cell / WEIGHTS).unlink(), f"has lost its {WEIGHTS}"),
    ],
)
def test_a_damaged_cell_is_redone_alone(laboratory, plan, finished, damage, words):
    cell = training(plan)
    place = finished.cell(cell)
    before = (place / WEIGHTS).read_bytes()
    damage(place)
    with pytest.raises(RunFolderError, match=words) as caught:
        laboratory.run(plan, "first")
    assert f"delete {place}" in str(caught.value)
    shutil.rmtree(place)  # what the message says
    _, computed = laboratory.run(plan, "first")
    assert computed == [cell]
    assert (place / WEIGHTS).read_bytes() == before


def test_neighbours_lend_what_is_whole(laboratory, plan, finished):
    cell = training(plan)
    _, computed = laboratory.run(plan, "second")
    assert computed == []
    second = RunFolder(laboratory.root / "second")
    lent = {path.relative_to(second.path): path.read_bytes() for path in second.path.glob(f"{CELLS}/*/*")}
    assert lent == {path.relative_to(finished.path): path.read_bytes() for path in finished.path.glob(f"{CELLS}/*/*")}

    for folder in (finished, second):
        (folder.cell(cell) / RESULT).write_text("{")
    _, computed = laboratory.run(plan, "third")
    assert computed == [cell]


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_neighbour_with_other_weights_lends_no_reading(laboratory, plan, finished):
    """Of two neighbours the first lends the weights, and readings are taken from where they were made on its bits."""
    cell = training(plan)
    (reading,) = [one for one in plan.verdict_cells(RATES) if one.weights == cell]
    shutil.copytree(finished.path, laboratory.root / "a first one")
    first = RunFolder(laboratory.root / "a first one")
    rewrite(first.cell(cell) / RESULT, weights="0" * 32)
    shutil.rmtree(first.cell(reading))
    _, computed = laboratory.run(plan, "zoo")
    assert computed == [reading]


def test_a_reading_of_weights_that_were_here_before(laboratory, plan, finished):
    """The weights were deleted, and come out otherwise: what was read of them is read again, all else is kept."""
    cell = training(plan)
    (reading,) = [one for one in plan.verdict_cells(RATES) if one.weights == cell]
    numbers = finished.result(reading)["metrics"]
    for missing in (True, False):
        rewrite(finished.cell(reading) / RESULT, made_on="0" * 32, metrics=dict.fromkeys(numbers, 0.5))
        if missing:
            shutil.rmtree(finished.cell(cell))
        record, computed = laboratory.run(plan, "first")
        assert computed == ([cell, reading] if missing else [reading])
        assert finished.result(reading)["metrics"] == numbers
        assert record.measured["cells_computed"] == len(computed)


def test_leftovers_of_a_killed_worker_are_swept(plan, finished):
    cell = training(plan)
    (finished.cell(cell) / PROGRESS).write_text("x")
    assert finished.result(cell)["status"] == "finished"
    assert not (finished.cell(cell) / PROGRESS).exists()


def test_a_cell_that_nobody_finished(plan, finished):
    cell = replace(training(plan), replicate=77)
    assert finished.result(cell) is None
    assert not finished.cell(cell).exists()
