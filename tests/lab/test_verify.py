"""A verdict is recomputed from its cells, and whatever was touched is named."""

import json
from dataclasses import replace

import pytest

from paribus.core.errors import RunFolderError
from paribus.lab.factorial import two_by_two
from paribus.lab.predictions import Greater
from paribus.lab.verify import verify
from paribus.positions.rotary import Rotary


@pytest.fixture
def run(laboratory):
    record, _ = laboratory.run(laboratory.plan())
    (record.folder / "verdict.json").write_text(json.dumps(record.verdict_json()))
    return record.folder / "verdict.json"


def change(path, edit):
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def test_an_untouched_verdict(run):
    kept = json.loads(run.read_text())
    assert {cell["phase"] for cell in kept["cells"]} == {"verdict", "aa"}
    assert verify(run) == []


def test_a_better_number_in_the_verdict(run):
    def edit(verdict):
        one = next(cell for cell in verdict["cells"] if cell["kind"] == "read")
        one["metrics"] = {name: value + 0.25 for name, value in one["metrics"].items()}

    change(run, edit)
    problems = verify(run)
    assert any("other metrics than the verdict lists" in problem for problem in problems)
    assert any("cannot be recomputed" in problem for problem in problems)


def test_another_word(run):
    change(run, lambda verdict: verdict.update(verdict="reproduced"))
    assert verify(run) == ["the rules give 'undecided', the verdict says 'reproduced'"]


def test_a_touched_cell_plan_and_missing_result(run):
    kept = json.loads(run.read_text())
    first, second = (run.parent / "cells" / kept["cells"][i]["digest"] for i in (0, 1))
    change(first / "cell.json", lambda cell: cell.update(steps=7))
    (second / "result.json").unlink()
    change(run.parent / "plan.json", lambda plan: plan.update(primary=plan["primary"], version=99))
    told = "\n".join(verify(run))
    assert "plan.json is not the plan" in told
    assert "cell.json is not what its digest was made of" in told
    assert "has no result.json" in told


def test_what_is_no_verdict(run, tmp_path):
    with pytest.raises(RunFolderError, match="there is no file"):
        verify(tmp_path / "verdict.json")
    (tmp_path / "verdict.json").write_text("{}")
    with pytest.raises(RunFolderError, match="no verdict of schema"):
        verify(tmp_path / "verdict.json")
    (tmp_path / "verdict.json").write_text(run.read_text())
    with pytest.raises(RunFolderError, match=r"has no plan\.json"):
        verify(tmp_path / "verdict.json")


@pytest.fixture
def square_run(laboratory):
    """Four arms, an interaction, a twin and a ranking."""
    base = laboratory.claim
    square = two_by_two(
        base.arms[0],
        ("far", lambda config: config.with_mixer(position=Rotary(base=100.0))),
        ("untied", lambda config: replace(config, tie_embeddings=False)),
    )
    told = {"metric": "loss@12", "provenance": "blind", "dated": "2026-11-22"}
    predicts = [Greater("synergy", square.both, than=square.added, **told)]
    claim = replace(base, arms=square.arms, task=replace(base.task, match="none"), primary="synergy", predicts=predicts)
    record, _ = laboratory.run(laboratory.plan(claim))
    (record.folder / "verdict.json").write_text(json.dumps(record.verdict_json()))
    return record.folder / "verdict.json"


def test_interactions_and_rankings_are_recomputed(square_run):
    kept = json.loads(square_run.read_text())
    assert kept["predictions"][0]["contrast"] == {"far + untied": 1, "far": -1, "untied": -1, "rotary": 1}
    assert [one["metric"] for one in kept["rankings"]] == ["loss@12"]
    assert len(kept["rankings"][0]["pairs"]) == 6
    assert verify(square_run) == []


def test_another_letter(square_run):
    def edit(verdict):
        verdict["rankings"][0]["arms"][0]["letters"] = "b"

    change(square_run, edit)
    assert verify(square_run) == ["the rankings of all arms cannot be recomputed from the cells"]
