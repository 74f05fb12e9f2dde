"""Several budgets from one run: which cells there are, that a branch is the run itself, and what is written of it."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from paribus.core.errors import ConfigError, RunFolderError
from paribus.lab.claim import Arm, Budget, Profile
from paribus.lab.folder import CELLS, EVENTS, RESULT, WEIGHTS, write_whole
from paribus.lab.plan import with_dependencies
from paribus.lab.report.write import write_report
from paribus.lab.trend import Trend
from paribus.lab.verify import verify
from paribus.lab.work import build
from paribus.training.loop import train

TREND = Trend(shares=(0.25, 0.5), decay=0.25, warmup=0.5)
STEPS = 16


def write(record):
    write_whole(record.folder / "verdict.json", json.dumps(record.verdict_json()))
    write_report(record)


@pytest.fixture
def claim(laboratory):
    profile = Profile(budget=Budget(tokens=STEPS * 24), seeds=range(2), learning_rates=(1e-2,), trend=TREND)
    return replace(laboratory.claim, profiles={"laptop": profile})


def test_the_cells(laboratory, claim):
    plan = laboratory.plan(claim)
    assert plan.budgets == (4, 8, 16)
    cells = with_dependencies(plan.verdict_cells({"rotary": 1e-2, "none": 1e-2}))
    mine = [cell for cell in cells if (cell.kind, cell.arm, cell.replicate) == ("train", "rotary", 0)]
    trunk = sorted((cell.first, cell.steps) for cell in mine if cell.keeps_state)
    branches = sorted((cell.first, cell.steps) for cell in mine if not cell.keeps_state)
    # One trunk in pieces, none of them twice, and a branch from each snapshot.
    assert trunk == [(0, 3), (3, 6), (6, 12)]
    assert branches == [(3, 4), (6, 8), (12, 16)]
    whole = next(cell for cell in mine if cell.steps == 16)
    assert [(piece.first, piece.steps) for piece in whole.pieces] == [(0, 3), (3, 6), (6, 12), (12, 16)]
    # 12 steps of trunk and 1 + 2 + 4 of decay.
    per_step = plan.training_flops(claim.arms[0]) * plan.tokens_per_step
    assert sum(cell.cost for cell in mine) == pytest.approx(19 * per_step)
    reads = [cell for cell in cells if cell.kind == "read" and cell.phase == "trend"]
    assert len(reads) == 2 * 2 * 2


def test_without_a_trend_nothing_has_another_name(laboratory):
    plan = laboratory.plan()
    assert "trend" not in plan.described()["settings"]
    for cell in with_dependencies(plan.verdict_cells({"rotary": 1e-2, "none": 1e-2})):
        assert not {"goes_on", "keeps_state"} & set(cell.task)


def test_a_branch_is_the_run_of_its_schedule_bit_by_bit(laboratory, claim):
    plan = laboratory.plan(claim)
    record, asked = laboratory.run(plan)
    assert len({cell.digest for cell in asked}) == len(asked)
    for cell in asked:
        if cell.kind != "train" or cell.keeps_state or cell.perturbed:
            continue
        model = build(cell, torch.device("cpu"))
        batches = plan.trained.data.prepare().batches(cell.replicate, 2, 12)
        told = []
        journal = type("Told", (), {"event": told.append, "rewind": lambda s: None, "flush": lambda: None})
        train(model, batches, plan.recipe(cell.steps), learning_rate=1e-2, steps=cell.steps, journal=journal)
        found = load_file(record.folder / CELLS / cell.digest / WEIGHTS)
        for name, tensor in model.named_parameters():
            assert torch.equal(found[name], tensor), (cell.arm, cell.steps, name)
        pieces = [
            json.loads(line)
            for piece in cell.pieces
            for line in (record.folder / CELLS / piece.digest / EVENTS).read_text().splitlines()
        ]
        assert pieces == told


def test_a_run_taken_up_again_computes_nothing_twice(laboratory, claim):
    plan = laboratory.plan(claim)
    first, asked = laboratory.run(plan)
    again, further = laboratory.run(plan)
    assert asked
    assert not further
    assert {n: {key: c.result for key, c in some.items()} for n, some in again.trend.items()} == {
        n: {key: c.result for key, c in some.items()} for n, some in first.trend.items()
    }


def test_what_is_written(laboratory, claim):
    record, _ = laboratory.run(laboratory.plan(claim))
    write(record)
    kept = json.loads((record.folder / "verdict.json").read_text())
    assert [point["steps"] for point in kept["trend"]["points"]] == [4, 8, 16]
    assert [point["tokens"] for point in kept["trend"]["points"]] == [96, 192, 384]
    assert len(kept["trend"]["cells"]) == 8
    assert all(cell["steps"] < 16 for cell in kept["trend"]["cells"])
    (last,) = kept["trend"]["points"][-1]["differences"]
    assert last["estimate"] == kept["predictions"][0]["estimate"]
    assert verify(record.folder / "verdict.json") == []
    page = (record.folder / "report.html").read_text()
    assert 'id="trend"' in page
    assert "constant rate" in page
    assert "## Trend over budgets" in (record.folder / "report.md").read_text()
    # Without one: no word of it.
    plain, _ = laboratory.run(laboratory.plan(), name="plain")
    write(plain)
    assert "trend" not in json.loads((plain.folder / "verdict.json").read_text())
    assert 'id="trend"' not in (plain.folder / "report.html").read_text()


def test_a_trend_that_was_tampered_with(laboratory, claim):
    record, _ = laboratory.run(laboratory.plan(claim))
    write(record)
    path = record.folder / "verdict.json"
    kept = json.loads(path.read_text())
    kept["trend"]["points"][0]["differences"][0]["estimate"] += 0.1
    path.write_text(json.dumps(kept))
    assert verify(path) == ["the points of the trend cannot be recomputed from the cells"]
    kept["trend"]["cells"][0]["metrics"]["loss@12"] += 0.1
    path.write_text(json.dumps(kept))
    assert any("other metrics than the verdict lists" in told for told in verify(path))


def test_a_trunk_that_diverged_takes_its_branches_along(laboratory, claim):
    plan = laboratory.plan(
        replace(claim, profiles={"laptop": replace(claim.profiles["laptop"], learning_rates=(1e30,))})
    )
    record, _ = laboratory.run(plan)
    assert {c.result["status"] for c in record.trained.values()} == {"diverged"}
    assert {c.result["status"] for some in record.trend.values() for c in some.values()} == {"diverged"}


def test_arms_that_read_other_bytes_are_found_in_any_piece(laboratory, claim):
    def spoil(cell, result):
        return result | {"order": "0" * 32} if (cell.arm, cell.steps) == ("none", 6) else result

    with pytest.raises(Exception, match="between the steps 3 and 6"):
        laboratory.run(laboratory.plan(claim), spoil=spoil)


def test_points_rise_and_warm_up_is_the_same_for_all():
    trend = Trend(shares=(0.1, 0.3), decay=0.2, warmup=0.2)
    assert trend.points(1000) == (100, 300, 1000)
    schedules = [trend.branch(1000, n) for n in trend.points(1000)]
    assert {schedule.warmup for schedule in schedules} == {20, trend.trunk(1000).warmup}
    assert [schedule.hold for schedule in schedules] == [80, 240, 800]
    assert trend.trunk(1000).hold is None
    assert all(a < b for a, b in pairwise(trend.points(7 * 24)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shares": ()}, "expected rising shares"),
        ({"shares": (0.5, 0.5)}, "expected rising shares"),
        ({"shares": (0.5, 1.0)}, "without the ends"),
        ({"decay": 0.0}, r"expected a share of each budget in \(0, 1\)"),
        ({"warmup": 0.9}, "expected a share from 0 to 0.8"),
        ({"final": -0.1}, r"expected a share of the peak in \[0, 1\]"),
    ],
)
def test_impossible_trends(changed, words):
    with pytest.raises(ConfigError, match=words):
        Trend(**({"shares": (0.5,)} | changed))


def test_too_few_steps():
    with pytest.raises(ConfigError, match="has its snapshots at the steps 0, 1, 2 of 4: take shares further apart"):
        Trend(shares=(0.25, 0.5), decay=0.5).points(4)


def test_arms_that_start_from_others(laboratory, claim):
    with pytest.raises(ConfigError, match="tuned start from others' weights"):
        replace(claim, arms=[*claim.arms, Arm("tuned", claim.arms[0].config, starts_from="none")])


def test_a_lost_snapshot(laboratory, claim):
    plan = laboratory.plan(claim)
    record, _ = laboratory.run(plan)
    trunk = next(piece for piece in record.trained["none", 0].cell.pieces if piece.steps == 6)
    (record.folder / CELLS / trunk.digest / WEIGHTS).unlink()
    for piece in record.trained["none", 0].cell.pieces[2:]:
        (record.folder / CELLS / piece.digest / RESULT).unlink()
    with pytest.raises(RunFolderError, match="has lost its weights"):
        laboratory.run(plan)
