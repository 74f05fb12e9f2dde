"""Cells of several folders become one run: nothing computed, nothing mixed, nothing half-copied."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from paribus.core.errors import InputError, RunFolderError
from paribus.lab import folder as folders
from paribus.lab.cell import Environment
from paribus.lab.folder import CELLS, MERGED, PLAN, REMOVED, RESULT, WEIGHTS, RunFolder
from paribus.lab.merge import merge, plan_differences
from paribus.lab.plan import plan_json

RATES = {"rotary": 1e-2, "none": 1e-2}


@pytest.fixture
def plan(laboratory):
    return laboratory.plan(profile="smoke")


@pytest.fixture
def halves(laboratory, plan, tmp_path):
    """Two machines' folders, apart: one has the cells of seed 0, the other those of seed 1."""
    laboratory.run(plan, "whole")
    paths = []
    for seed in (0, 1):
        path = tmp_path / f"machine{seed}" / "run"
        shutil.copytree(laboratory.root / "whole", path)
        for cell in (path / CELLS).iterdir():
            if json.loads((cell / "cell.json").read_text())["replicate"] != seed:
                shutil.rmtree(cell)
        paths.append(path)
    shutil.rmtree(laboratory.root / "whole")
    return paths


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def cells(path):
    return {key: value for key, value in contents(path).items() if key.parts[0] == CELLS}


def training(path, seed=0):
    """The folder of a training, and that of its reading."""
    by_kind = {}
    for cell in sorted((path / CELLS).iterdir()):
        described = json.loads((cell / "cell.json").read_text())
        if described["replicate"] == seed:
            by_kind.setdefault(described["kind"], []).append((cell, described))
    cell, _ = by_kind["train"][0]
    (reading,) = [other for other, described in by_kind["read"] if described["weights"] == cell.name]
    return cell, reading


def test_two_halves_are_one_run(laboratory, plan, halves):
    before = [contents(path) for path in halves]
    target = laboratory.root / "merged"
    done = merge(halves, target)
    assert done.there == 0
    assert done.left_out == []
    assert done.taken == {path: len(list((path / CELLS).iterdir())) for path in halves}
    assert cells(target) == cells(halves[0]) | cells(halves[1])
    assert [contents(path) for path in halves] == before
    _, computed = laboratory.run(plan, "merged")
    assert computed == []


def test_merging_again_changes_nothing(laboratory, halves):
    target = laboratory.root / "merged"
    merge(halves, target)
    before = contents(target)
    done = merge([*halves, halves[0]], target)
    assert set(done.taken.values()) == {0}
    assert done.there == len(list((target / CELLS).iterdir()))
    assert contents(target) == before


def test_into_one_of_them(laboratory, plan, halves):
    done = merge(halves, halves[0])
    assert list(done.taken) == [halves[1]]
    halves[0].rename(laboratory.root)
    assert laboratory.run(plan, "../" + laboratory.root.name)[1] == []


def test_what_is_missing_is_computed_by_the_run(laboratory, plan, halves):
    cell, reading = training(halves[1], seed=1)
    (cell / RESULT).unlink()
    (cell / folders.PROGRESS).write_text("x")
    shutil.rmtree(reading)
    done = merge(halves, laboratory.root / "merged")
    assert done.unfinished == {halves[1]: 1}
    assert not (laboratory.root / "merged" / CELLS / cell.name).exists()
    assert {one.digest for one in laboratory.run(plan, "merged")[1]} == {cell.name, reading.name}


def changed(path, **changes):
    described = json.loads((path / PLAN).read_text())
    for key, value in changes.items():
        described[key] = {**described[key], **value} if isinstance(value, dict) else value
    (path / PLAN).write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifest": "f" * 64}, r"the data \(manifest \w{12} against f{12}\); .*never pooled"),
        ({"environment": {"torch": "9.9"}}, r"torch \S+ against 9.9; .*install one torch on all machines"),
        ({"environment": {"device": "a GPU"}}, "device cpu against a GPU; .*processors or GPUs of one kind"),
        ({"revisions": {"Rotary": 99}}, r"revision of Rotary \d+ against 99; install one version of paribus"),
        ({"engine": 99}, r"revision of the engine \d+ against 99; install one version"),
        ({"profile": "hour"}, "profile smoke against hour; runs of two claims"),
        ({"statement": "Positions hurt."}, "statement of the claim; let the same version of the claim"),
        ({"settings": {"seeds": [0, 1, 2]}}, "2 seeds against 3; no merge is needed: lay the two folders side by side"),
        ({"engine": 99, "environment": {"torch": "9.9"}}, r"revision of the engine .*, torch .* against 9.9; the bits"),
    ],
)
def test_runs_of_two_plans_are_refused(laboratory, halves, changes, words):
    changed(halves[1], **changes)
    with pytest.raises(RunFolderError, match=words) as caught:
        merge(halves, laboratory.root / "merged")
    assert all(str(path) in str(caught.value) for path in halves)
    assert not (laboratory.root / "merged").exists()
    changed(halves[0], **changes)
    merge(halves, laboratory.root / "merged")


def test_real_plans_differ_in_what_is_told(laboratory, plan):
    ours = json.loads(plan_json(plan))
    other = laboratory.plan(profile="smoke", environment=Environment("9.9", "cpu", 2))
    assert plan_differences(ours, json.loads(plan_json(other))) == [
        ("environment", "threads 1 against 2"),
        ("environment", f"torch {plan.environment.torch} against 9.9"),
    ]
    more = laboratory.plan(profile="smoke", seeds=5)
    assert plan_differences(ours, json.loads(plan_json(more))) == [("seeds", "2 seeds against 5")]
    assert plan_differences(ours, ours) == []
    worded = laboratory.plan(replace(laboratory.claim, statement="x"), "smoke")
    assert [kind for kind, _ in plan_differences(ours, json.loads(plan_json(worded)))] == ["plan"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda cell: (cell / RESULT).write_text("{"), "result.json is damaged"),
        (lambda cell: (cell / "cell.json").write_text("{}"), "not what its digest was made of"),
        (lambda cell: (cell / WEIGHTS).unlink(), "weights.safetensors cannot be read"),
        (lambda cell: os.truncate(cell / WEIGHTS, (cell / WEIGHTS).stat().st_size - 1), "cannot be read"),
    ],
)
def test_damaged_cells_are_left_out_and_computed_anew(laboratory, plan, halves, damage, words):
    cell, _ = training(halves[0])
    damage(cell)
    done = merge(halves, laboratory.root / "merged")
    (told,) = done.left_out
    assert str(cell) in told
    assert words in told
    assert [one.digest for one in laboratory.run(plan, "merged")[1]] == [cell.name]


def test_a_damaged_cell_is_taken_from_where_it_is_whole(laboratory, plan, halves, tmp_path):
    shutil.copytree(halves[0], tmp_path / "copy")
    (training(halves[0])[0] / RESULT).write_text("{")
    merge([*halves, tmp_path / "copy"], laboratory.root / "merged")
    assert laboratory.run(plan, "merged")[1] == []


def as_before_hashes(run):
    """Results as they were written when none told of weights."""
    for path in (run / CELLS).glob(f"*/{RESULT}"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps({key: result[key] for key in result if key not in ("weights", "made_on")}))


def elsewhere(run, path):
    """The run as another processor would have done it: one training, and what was read of it, of other bits."""
    shutil.copytree(run, path)
    cell, reading = training(path)
    result, read = json.loads((cell / RESULT).read_text()), json.loads((reading / RESULT).read_text())
    result["metrics"]["train_loss"] += 1e-7
    assert read["made_on"] == result["weights"]
    result["weights"] = read["made_on"] = "0" * 32
    (cell / RESULT).write_text(json.dumps(result))
    (reading / RESULT).write_text(json.dumps(read))
    return cell, reading


@pytest.mark.parametrize("hashed", [True, False])
def test_readings_stay_with_the_weights_that_they_read(laboratory, plan, halves, tmp_path, hashed):
    """Another processor computes other bits: its reading is taken along only with its weights."""
    other = tmp_path / "other processor" / "run"
    cell, reading = elsewhere(halves[0], other)
    if not hashed:
        as_before_hashes(halves[0])
        as_before_hashes(other)
    alone, its_reading = training(halves[0])
    its_numbers = json.loads((its_reading / RESULT).read_text())["metrics"]
    shutil.rmtree(its_reading)
    done = merge([halves[0], other], laboratory.root / "merged")
    (told,) = done.left_out
    assert str(reading) in told
    assert "other bits" in told
    merged = laboratory.root / "merged" / CELLS
    assert (merged / cell.name / RESULT).read_bytes() == (alone / RESULT).read_bytes()
    assert not (merged / reading.name).exists()

    # Nor does the run take it from there, though it lies beside it.
    shutil.copytree(other, laboratory.root / "other")
    _, computed = laboratory.run(plan, "merged")
    assert reading.name in {one.digest for one in computed}
    assert {one.digest for one in computed}.isdisjoint({cell.name})
    assert json.loads((merged / reading.name / RESULT).read_text())["metrics"] == its_numbers
    shutil.rmtree(laboratory.root / "merged")

    done = merge([other, halves[0]], laboratory.root / "the other way round")
    assert done.left_out == []
    merged = laboratory.root / "the other way round" / CELLS
    assert (merged / reading.name / RESULT).read_bytes() == (reading / RESULT).read_bytes()


def test_a_reading_whose_weights_nobody_has(laboratory, plan, halves):
    """One that tells its weights is taken, and done again if they come out otherwise; an older one is left out."""
    cell, reading = training(halves[0])
    shutil.rmtree(cell)
    assert merge(halves, laboratory.root / "merged").left_out == []
    kept = laboratory.root / "merged" / CELLS / reading.name / RESULT
    result = json.loads(kept.read_text())
    kept.write_text(json.dumps({**result, "made_on": "0" * 32, "metrics": dict.fromkeys(result["metrics"], 0.5)}))
    record, computed = laboratory.run(plan, "merged")
    assert reading.name in {one.digest for one in computed}
    assert json.loads(kept.read_text())["metrics"] == result["metrics"]
    assert record.measured["cells_computed"] == len(computed)
    shutil.rmtree(laboratory.root / "merged")
    as_before_hashes(halves[0])
    (told,) = merge(halves, laboratory.root / "merged").left_out
    assert str(reading) in told
    assert "its weights are in none of the folders" in told


def test_a_run_at_work_is_not_merged(laboratory, plan, halves):
    with (
        RunFolder(halves[1]).opened(plan_json(plan)),
        pytest.raises(RunFolderError, match=r"a run is at work in .*wait for it or stop it"),
    ):
        merge(halves, laboratory.root / "merged")
    assert not (laboratory.root / "merged").exists()
    with (
        RunFolder(halves[0]).opened(plan_json(plan)),
        pytest.raises(RunFolderError, match="another run is at work in"),
    ):
        merge(halves, halves[0])


def test_foreign_and_damaged_folders(laboratory, halves, tmp_path):
    target = laboratory.root / "merged"
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no plan.json"):
        merge([halves[0], tmp_path], target)
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no plan.json but holds"):
        merge(halves, tmp_path)
    (halves[1] / PLAN).write_text("{")
    with pytest.raises(RunFolderError, match=r"plan.json is damaged"):
        merge(halves, target)
    assert not target.exists()


def test_a_merge_that_is_stopped_goes_on(laboratory, plan, halves, monkeypatch):
    copied = []
    real = shutil.copytree

    def copytree(source, target, **words):
        if len(copied) == 3:
            (target / "half").parent.mkdir(parents=True)
            (target / "half").write_text("x")
            raise KeyboardInterrupt
        copied.append(source)
        return real(source, target, **words)

    monkeypatch.setattr(folders.shutil, "copytree", copytree)
    target = laboratory.root / "merged"
    with pytest.raises(KeyboardInterrupt):
        merge(halves, target)
    assert len(list((target / CELLS).iterdir())) == 3
    monkeypatch.undo()
    assert merge(halves, target).there == 3
    assert laboratory.run(plan, "merged")[1] == []


def test_too_little_room_is_said_before_anything_is_copied(laboratory, halves, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(InputError, match=r"need 1\.\d MiB, 1.0 MiB are free in .*paribus clean.*--out"):
        merge(halves, laboratory.root / "merged")
    assert not (laboratory.root / "merged" / CELLS).exists()


def test_openings_of_the_test_split_add_up(laboratory, plan, halves):
    for path, count in zip(halves, (2, 3)):
        verdict = {"plan": plan.digest, "verdict": "x", "measured": {"test_openings": count}}
        (path / "verdict.json").write_text(json.dumps(verdict))
    target = laboratory.root / "merged"
    merge(halves, target)
    told = json.loads((target / MERGED).read_text())
    assert told["schema"] == "paribus.merged/1"
    assert [one["cells"] for one in told["from"]] == [len(list((path / CELLS).iterdir())) for path in halves]
    assert laboratory.run(plan, "merged")[0].measured["test_openings"] == 6


def test_weights_that_were_cleaned_away(laboratory, plan, halves):
    """The numbers stand without them; who needs the weights trains them anew, to the same bits."""
    cell, reading = training(halves[0])
    weights = (cell / WEIGHTS).read_bytes()
    (cell / REMOVED).write_text("")
    (cell / WEIGHTS).unlink()
    assert merge(halves, laboratory.root / "merged").left_out == []
    assert laboratory.run(plan, "merged")[1] == []
    merged = laboratory.root / "merged" / CELLS
    shutil.rmtree(merged / reading.name)
    assert [one.digest for one in laboratory.run(plan, "merged")[1]] == [cell.name, reading.name]
    assert (merged / cell.name / WEIGHTS).read_bytes() == weights
    assert laboratory.run(plan, "neighbour")[1] == [], "lent with its weights by whoever has them"
