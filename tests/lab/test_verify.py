"""A verdict is recomputed from its cells, and whatever was touched is named."""

import json
import shutil
from dataclasses import replace

import pytest

from paribus.core.errors import RunFolderError
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.factorial import two_by_two
from paribus.lab.folder import CELLS, PLAN
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


@pytest.fixture(scope="module")
def searched(laboratory_in, tmp_path_factory):
    """A finished run with a search of rates and a twin, made once."""
    laboratory = laboratory_in(tmp_path_factory.mktemp("searched"))
    record, _ = laboratory.run(laboratory.plan(profile="tuned"))
    (record.folder / "verdict.json").write_text(json.dumps(record.verdict_json()))
    return record.folder


@pytest.fixture
def tampered(searched, tmp_path):
    """Changes a copy of it, and tells what its verification says."""

    def tampered(edit, file="verdict.json"):
        folder = tmp_path / "run"
        shutil.copytree(searched, folder)
        assert verify(folder / "verdict.json") == []
        change(folder / file, edit)
        return "\n".join(verify(folder / "verdict.json"))

    return tampered


def read(verdict, arm, seed=0, phase="verdict"):
    return next(
        one
        for one in verdict["cells"]
        if (one["kind"], one["arm"], one["replicate"], one["phase"]) == ("read", arm, seed, phase)
    )


def swap_arms(verdict):
    for cell in verdict["cells"]:
        cell["arm"] = {"rotary": "none", "none": "rotary"}[cell["arm"]]


def swap_seeds(verdict):
    for cell in verdict["cells"]:
        if cell["arm"] == "none":
            cell["replicate"] = 1 - cell["replicate"]


def better_twin(verdict):
    """The control's own reading under the name of its twin."""
    mine = {**read(verdict, "none"), "phase": "aa"}
    verdict["cells"][verdict["cells"].index(read(verdict, "none", phase="aa"))] = mine


def other_rate(verdict):
    verdict["learning_rates"]["chosen"]["none"] *= 2
    for cell in verdict["cells"]:
        cell["learning_rate"] *= 2 if cell["arm"] == "none" else 1


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda v: v.update(aa=[]), "A/A differences cannot be recomputed"),
        (lambda v: v["aa"][0]["values"].reverse(), "A/A differences cannot be recomputed"),
        (lambda v: v["aa"][0].update(mean=0.0), "A/A differences cannot be recomputed"),
        (other_rate, "learning_rates.chosen cannot be recomputed"),
        (lambda v: v["learning_rates"]["tried"].pop(), "learning_rates.tried cannot be recomputed"),
        (lambda v: v["learning_rates"]["tried"][0].update(dev_loss=9.0), "learning_rates.tried cannot be recomputed"),
        (lambda v: v["learning_rates"].update(searched=False), "learning_rates.searched cannot be recomputed"),
        (lambda v: v["learning_rates"].update(at_edge=["x"]), "learning_rates.at_edge cannot be recomputed"),
        (lambda v: v.update(claim="another"), "claim is not that of the plan"),
        (lambda v: v.update(version=7), "version is not that of the plan"),
        (lambda v: v.update(profile="hour"), "profile is not that of the plan"),
        (lambda v: v.update(primary="other"), "primary is not that of the plan"),
        (lambda v: v.update(stacks=[[0, 1]]), "stacks is not that of the plan"),
        (lambda v: v["matching"].update(contract="none"), "matching.contract is not that of the plan"),
        (lambda v: v["matching"]["residual"].update(none=0.004), "residual of arm 'none' is 0.004, its config gives"),
        (lambda v: v["matching"]["residual"].pop("none"), "matching.residual does not list the arms"),
        (lambda v: v["corpus"].update(manifest="0"), "corpus is not that of the plan"),
        (lambda v: v["environment"].update(torch="9.9"), "environment is not that of the plan"),
        (lambda v: v["cells"].append(v["cells"][-1]), "2 cells are listed for the reading of arm"),
        (lambda v: v["cells"].append(v["cells"][0]), "2 cells are listed for the training of arm"),
        (lambda v: v["cells"].remove(read(v, "none", 1)), "no cell is listed for the reading of arm 'none', seed 1"),
        (lambda v: v["cells"].append({**v["cells"][0], "replicate": 5}), "seed 5, which the plan does not have"),
        (swap_arms, "is not the cell of arm 'none', seed 0: other config"),
        (swap_seeds, "is not the cell of arm 'none', seed 1: other replicate"),
        (better_twin, "is not the cell of arm 'none', seed 0: other perturbed"),
        (lambda v: read(v, "none").update(learning_rate=0.5), "the rate is listed as 0.5, not the one chosen"),
        (lambda v: read(v, "none").update(digest="../../etc"), "has no result.json"),
        (lambda v: v["predictions"].clear(), "the predictions are not those of the plan"),
        (lambda v: v.update(cells=[]), "no cell is listed for the reading of arm 'none', seed 0"),
        (lambda v: v.pop("aa"), "has not the form in which paribus writes it (there is no 'aa')"),
        (lambda v: v.pop("cells"), "has not the form in which paribus writes it (there is no 'cells')"),
        (lambda v: v.pop("learning_rates"), "there is no 'learning_rates'"),
        (lambda v: v["cells"][0].pop("digest"), "there is no 'digest'"),
        (lambda v: v.update(cells=7), "has not the form in which paribus writes it (TypeError"),
        (lambda v: v.update(predictions=None), "has not the form in which paribus writes it (TypeError"),
    ],
)  # fmt: skip
def test_a_falsified_verdict(tampered, edit, words):
    assert words in tampered(edit)


def test_a_plan_of_no_form(tampered):
    assert "there is no 'task'" in tampered(lambda plan: plan.pop("task"), PLAN)


def test_falsified_cells(searched, tmp_path):
    """Results that the verdict does not list: a tuning cell, the order of data, a start, the weights of a reading."""
    kept = json.loads((searched / "verdict.json").read_text())
    weights = json.loads((searched / CELLS / read(kept, "none")["digest"] / "cell.json").read_text())["weights"]
    tuning = next(
        cell.name
        for cell in (searched / CELLS).iterdir()
        if json.loads((cell / "cell.json").read_text())["replicate"] == 1001
    )
    for name, edit, words in (
        (
            tuning,
            lambda r: r["metrics"].update(dev_loss=r["metrics"]["dev_loss"] + 1e-6),
            "learning_rates.tried cannot be recomputed",
        ),
        (weights, lambda r: r.update(order="0"), "seed 0: not all arms read the same bytes in the same order"),
        (weights, lambda r: r["initial"].update({next(iter(r["initial"])): "0"}), "starts with other numbers in"),
        (weights, lambda r: r.update(weights="0"), "was read from weights of other bits"),
    ):
        folder = tmp_path / words.replace(" ", "")[:20]
        shutil.copytree(searched, folder)
        change(folder / CELLS / name / "result.json", edit)
        assert words in "\n".join(verify(folder / "verdict.json"))
    shutil.rmtree(folder / CELLS / tuning)
    told = verify(folder / "verdict.json")
    assert len(told) == 2  # with the reading of the weights
    assert told[0].startswith("the tuning cell of arm ")


def test_arms_that_read_and_start_from_others(laboratory):
    base = laboratory.claim
    rotary = base.arms[0]
    far = rotary.config.with_mixer(position=Rotary(base=100.0))
    arms = [*base.arms, Arm("far", far, reads="rotary"), Arm("tuned far", far, starts_from="rotary")]
    told = {"metric": "loss@12", "provenance": "blind", "dated": "2026-11-22"}
    predicts = [Greater("helps", "tuned far", than="far", **told), Greater("reads", "far", than="rotary", **told)]
    claim = replace(base, arms=arms, predicts=predicts, primary="helps")
    for profile in ("laptop", "tuned"):
        record, _ = laboratory.run(laboratory.plan(claim, profile), profile)
        path = record.folder / "verdict.json"
        path.write_text(json.dumps(record.verdict_json()))
        assert verify(path) == []

    def exchange(verdict):
        """One arm's readings for another's, of the same config."""
        for cell in verdict["cells"]:
            if cell["kind"] == "read":
                cell["arm"] = {"far": "tuned far", "tuned far": "far"}.get(cell["arm"], cell["arm"])

    change(path, exchange)
    told = "\n".join(verify(path))
    assert "begins with the weights of" in told
    assert "does not begin with weights of arm 'rotary'" in told


def test_measured_claims(laboratory):
    claim = replace(
        laboratory.claim,
        arms=[Arm("rotary", {"exact": True}), Arm("none", {"exact": False})],
        task=Measured(measure=draw, unit="draw", units={"loss@12": "1"}),
        profiles={"laptop": Profile(seeds=range(8))},
    )
    record, _ = laboratory.run(laboratory.plan(claim))
    path = record.folder / "verdict.json"
    path.write_text(json.dumps(record.verdict_json()))
    assert verify(path) == []
    change(path, swap_arms)
    assert "is not the cell of arm 'none', seed 0: other config" in "\n".join(verify(path))


def draw(config, replicate):
    return {"loss@12": replicate / 10 + config["exact"]}
