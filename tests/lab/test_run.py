"""From a plan to a record: rates, twins, what must be equal, what diverges, what is taken from files."""

import json
import math
import platform
import shutil
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from paribus.core.errors import CellFailed, ConfigError
from paribus.lab.claim import Arm, Budget, Measured, Profile
from paribus.lab.folder import CELLS
from paribus.lab.pace import Pace, Standing
from paribus.lab.predictions import Equivalent, Greater
from paribus.lab.record import Tried
from paribus.lab.report.markdown import markdown
from paribus.lab.run import Watch, best_rates, beyond
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.earth_mover import EarthMover
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary


def unmeasured(verdict):
    return {key: value for key, value in verdict.items() if key != "measured"}


def with_profile(claim, **changes):
    return replace(claim, profiles={"laptop": replace(claim.profiles["laptop"], **changes)})


def test_a_run_from_start_to_verdict(laboratory):
    plan = laboratory.plan()
    record, computed = laboratory.run(plan)
    verdict = record.verdict_json()
    json.dumps(verdict, allow_nan=False)
    assert verdict["schema"] == "paribus.verdict/1"
    assert verdict["verdict"] == "undecided"  # two seeds can never decide
    assert verdict["plan"] == plan.digest
    assert verdict["corpus"] == {"manifest": plan.manifest["digest"]}
    assert verdict["predictions"][0]["n"] == 2
    assert len(computed) == 2 * (2 + 2 + 2)  # seeds x (arms, readings, the twin and its reading)
    assert {(cell["arm"], cell["kind"], cell["replicate"]) for cell in verdict["cells"]} == {
        (arm, kind, seed) for arm in ("rotary", "none") for kind in ("train", "read") for seed in (0, 1)
    }
    assert [one["n"] for one in verdict["aa"]] == [2]
    assert all(0 < abs(value) < 1e-3 for value in verdict["aa"][0]["values"])
    measured = verdict["measured"]
    assert 0 <= measured["overhead"] < 1
    assert measured["cells_computed"] == len(computed)
    assert measured["cells_found"] == 0
    assert measured["largest_worker_bytes"] > 2**20
    assert measured["flops"] == pytest.approx(sum(cell.cost for cell in computed))


def test_the_same_plan_finds_its_cells(laboratory):
    plan = laboratory.plan()
    first, computed = laboratory.run(plan)
    again, nothing = laboratory.run(plan)
    assert nothing == []
    assert unmeasured(again.verdict_json()) == unmeasured(first.verdict_json())
    assert again.measured["cells_found"] == len(computed)
    assert again.measured["cell_seconds"] == pytest.approx(first.measured["cell_seconds"])


def test_more_seeds_borrow_those_that_are_done(laboratory):
    first, _ = laboratory.run(laboratory.plan(), "two")
    more, computed = laboratory.run(laboratory.plan(seeds=4), "four")
    assert {cell.replicate for cell in computed} == {2, 3}
    assert [more.results["rotary"][seed] for seed in (0, 1)] == [first.results["rotary"][seed] for seed in (0, 1)]
    assert len(more.verdict_json()["predictions"]) == 1
    assert more.verdict_json()["predictions"][0]["n"] == 4


def test_every_rate_is_tried_for_every_arm_on_tuning_seeds(laboratory):
    profile = replace(laboratory.claim.profiles["tuned"], grid_extensions=0)
    plan = laboratory.plan(replace(laboratory.claim, profiles={"laptop": profile}))
    record, computed = laboratory.run(plan)
    tries = [(one.arm, one.learning_rate, one.seed) for one in record.tried]
    expected = {(arm, rate, seed) for arm in ("rotary", "none") for rate in (1e-2, 2e-2) for seed in (1001, 1002)}
    assert set(tries) == expected
    assert len(tries) == len(expected)
    assert {cell.steps for cell in computed if cell.phase == "tune"} == {5}
    assert record.rates == best_rates(record.tried)
    assert set(record.edges) == {"rotary", "none"}  # a grid of two has only ends
    told = record.verdict_json()["learning_rates"]
    assert told["searched"]
    assert told["at_edge"] == list(record.edges)
    verdict = [cell for cell in computed if cell.kind == "train" and cell.phase != "tune"]
    assert all(cell.learning_rate == record.rates[cell.arm] and cell.replicate in (0, 1) for cell in verdict)


def test_the_grid_is_prolonged_for_all_arms_alike(laboratory):
    def slope(cell, result):
        """As if every loss fell with the rate without end, for one arm only."""
        if cell.phase == "tune":
            loss = -math.log(cell.learning_rate) if cell.arm == "rotary" else abs(math.log(cell.learning_rate / 1e-2))
            result = result | {"metrics": {**result["metrics"], "dev_loss": loss}}
        return result

    profile = replace(laboratory.claim.profiles["tuned"], learning_rates=(5e-3, 1e-2, 2e-2))
    plan = laboratory.plan(replace(laboratory.claim, profiles={"laptop": profile}))
    record, _ = laboratory.run(plan, spoil=slope)
    rates = {arm: sorted({one.learning_rate for one in record.tried if one.arm == arm}) for arm in ("rotary", "none")}
    assert rates["rotary"] == rates["none"] == pytest.approx([5e-3, 1e-2, 2e-2, 4e-2, 8e-2])
    assert record.rates == {"rotary": pytest.approx(8e-2), "none": 1e-2}
    assert record.edges == ("rotary",)


def test_the_best_rate_is_that_of_the_lowest_mean():
    losses = {(1e-3, 1): 2.0, (1e-3, 2): 2.0, (2e-3, 1): 1.0, (2e-3, 2): 2.9, (4e-3, 1): 1.9, (4e-3, 2): 1.9}
    tried = [Tried("a", rate, seed, loss, False) for (rate, seed), loss in losses.items()]
    tried += [Tried("b", rate, seed, 2.0, False) for rate in (2e-3, 1e-3) for seed in (1, 2)]
    assert best_rates(tried) == {"a": 4e-3, "b": 1e-3}


def test_a_grid_goes_on_in_its_own_ratio():
    assert beyond([1.0, 2.0, 4.0], [2.0]) == []
    assert beyond([1.0, 2.0, 4.0], [1.0, 2.0]) == [0.5]
    assert beyond([1.0, 2.0, 4.0], [1.0, 4.0]) == [0.5, 8.0]


def test_a_rate_too_high_is_counted_as_diverged(laboratory):
    notes = []
    plan = laboratory.plan(with_profile(laboratory.claim, learning_rates=(1e30,)))
    record, computed = laboratory.run(plan, watch=Watch(note=notes.append))
    assert {c.result["status"] for c in record.trained.values()} == {"diverged"}
    for (arm, _), one in record.read.items():
        assert one.result["metrics"] == {"loss@12": math.log(8), "accuracy@12": 1 / 7}, arm
        assert one.result["status"] == "diverged"
    train = record.trained["rotary", 0].result
    assert train["metrics"] == {"train_loss": math.log(8), "dev_loss": math.log(8)}
    verdict = record.verdict_json()
    json.dumps(verdict, allow_nan=False)
    assert verdict["verdict"] == "undecided"
    assert "rotary, seed 0: diverged, counted as the worst value" in notes
    again, nothing = laboratory.run(plan)
    assert nothing == []
    assert unmeasured(again.verdict_json()) == unmeasured(verdict)
    assert not list(laboratory.root.glob("run/cells/*/weights.safetensors"))
    assert computed


def test_one_diverged_rate_loses_the_search_and_nothing_else(laboratory):
    claim = with_profile(laboratory.claim, learning_rates=(1e-2, 1e30), grid_extensions=0)
    record, _ = laboratory.run(laboratory.plan(claim))
    assert record.rates == {"rotary": 1e-2, "none": 1e-2}
    assert [one.dev_loss for one in record.tried if one.diverged] == [math.log(8)] * 4
    assert {c.result["status"] for c in record.read.values()} == {"finished"}


def test_another_order_of_the_data_is_no_fair_trial(laboratory):
    def another(cell, result):
        return result | {"order": "0"} if (cell.kind, cell.arm, cell.replicate) == ("train", "none", 1) else result

    with pytest.raises(
        CellFailed, match=r"seed 1: the arms none, rotary did not read the same bytes in the same order"
    ):
        laboratory.run(laboratory.plan(), spoil=another)


def test_another_start_is_no_fair_trial(laboratory):
    def another(cell, result):
        if cell.kind == "train" and cell.arm == "none":
            return result | {"initial": dict.fromkeys(result["initial"], "0")}
        return result

    with pytest.raises(CellFailed, match=r"seed 0: arm 'none' starts with other numbers in 'embedding.weight 8x16"):
        laboratory.run(laboratory.plan(), spoil=another)


def test_what_arms_share_is_drawn_alike(laboratory):
    """Arms of different depth share every parameter that they have in common, bit by bit."""
    claim = laboratory.claim
    deep = Arm("none", replace(claim.arms[1].config, n_layers=2, tie_embeddings=True))
    claim = replace(claim, arms=[claim.arms[0], deep], task=replace(claim.task, match="none"))
    record, _ = laboratory.run(laboratory.plan(claim))
    rotary, none = (record.trained[arm, 0].result for arm in ("rotary", "none"))
    shared = {name.split()[0] for name in rotary["initial"].keys() & none["initial"].keys()}
    assert {"embedding.weight", "layers.0.mixer.query.weight", "layers.0.feed_forward.up.weight"} <= shared
    assert "layers.0.mixer.out.weight" not in shared  # divided by sqrt(2 n_layers)
    assert rotary["order"] == none["order"]
    assert rotary["order"] != record.trained["rotary", 1].result["order"]


def test_readers_need_no_twin(laboratory):
    rotary = laboratory.claim.arms[0]
    reader = Arm("reader", rotary.config.with_mixer(position=Rotary(map=ReRoPE(window=4))), reads="rotary")
    claim = replace(
        laboratory.claim, arms=[rotary, reader], predicts=[replace(laboratory.claim.predicts[0], than="reader")]
    )
    record, computed = laboratory.run(laboratory.plan(claim))
    assert record.noise == {}
    assert record.verdict_json()["aa"] == []
    assert sorted(cell.kind for cell in computed) == ["read"] * 4 + ["train"] * 2
    windows = {one.result["windows"] for one in record.read.values()}
    assert len(windows) == 1


def test_arms_that_start_from_others(laboratory):
    """The base is tuned first and trained in full, also while the further training is tuned at a part of its budget."""
    claim = laboratory.claim
    arms = [claim.arms[0], Arm("further", claim.arms[1].config, starts_from="rotary")]
    profile = replace(claim.profiles["tuned"], grid_extensions=0)
    prediction = replace(claim.predicts[0], arm="further", than="rotary")
    claim = replace(claim, arms=arms, predicts=[prediction], profiles={"laptop": profile})
    record, computed = laboratory.run(laboratory.plan(claim))
    assert set(record.rates) == {"rotary", "further"}
    further = [cell for cell in computed if cell.arm == "further" and cell.kind == "train"]
    assert {cell.weights.steps for cell in further} == {10}
    assert {cell.weights.learning_rate for cell in further} == {record.rates["rotary"]}
    assert {cell.steps for cell in further if cell.phase == "tune"} == {5}
    assert {cell.replicate for cell in further if cell.phase == "tune"} == {1001, 1002}
    base = record.trained["rotary", 0]
    assert record.trained["further", 0].cell.weights.digest == base.cell.digest
    assert record.trained["further", 0].result["initial"] != base.result["initial"]


def test_an_arm_is_trained_by_its_own_loss(laboratory):
    """Chunks of cross entropy lead where the loop's own leads, all but bit for bit; a loss of another kind does not."""
    claim = laboratory.claim
    losses = {"plain": None, "chunks": CrossEntropy(chunk=5), "mover": EarthMover.Config(share=1.0, adaptive=False)}
    further = [Arm(name, claim.arms[0].config, starts_from="rotary", loss=loss) for name, loss in losses.items()]
    prediction = replace(claim.predicts[0], arm="plain", than="rotary")
    record, _ = laboratory.run(laboratory.plan(replace(claim, arms=[claim.arms[0], *further], predicts=[prediction])))
    dev = {name: record.trained[name, 0].result["metrics"]["dev_loss"] for name in losses}
    assert dev["chunks"] == pytest.approx(dev["plain"], rel=1e-4)
    assert abs(dev["mover"] - dev["plain"]) > 1e-3
    # Its loss is a cost in [0, 2]; what is compared is cross entropy for every arm.
    assert record.trained["mover", 0].result["metrics"]["train_loss"] < 2 < dev["mover"]
    assert "trained by EarthMover(share=1, adaptive=False)" in markdown(record)


def half(config, replicate):
    """A measure that is exact for one arm and off by a draw for the other."""
    noise = ((replicate * 37) % 11) / 100
    return {"error": 0.5 + noise if config["exact"] is False else 0.1 + noise / 2, "speed": 2.0}


def measured_claim(claim, measure=half, units=None):
    told = {"provenance": "blind", "dated": "2026-11-22"}
    return replace(
        claim,
        arms=[Arm("exact", {"exact": True}), Arm("rough", {"exact": False})],
        task=Measured(
            measure=measure, unit="draw", units=units or {"error": "bits", "speed": "GB/s"}, lower_is_better=("error",)
        ),
        profiles={"laptop": Profile(seeds=range(8))},
        primary="less",
        predicts=[
            Greater("less", "exact", than="rough", metric="error", by=0.2, **told),
            Equivalent("as-fast", "exact", than="rough", metric="speed", margin=0.1, **told),
        ],
    )


def test_measured_claims(laboratory):
    claim = measured_claim(laboratory.claim)
    plan = laboratory.plan(claim)
    record, computed = laboratory.run(plan)
    verdict = record.verdict_json()
    json.dumps(verdict, allow_nan=False)
    assert [one["outcome"] for one in verdict["predictions"]] == ["reproduced", "reproduced"]
    assert verdict["predictions"][0]["unit"] == "bits"
    assert verdict["predictions"][0]["estimate"] > 0.3  # lower is better, and less is predicted
    assert (record.rates, record.tried, verdict["aa"]) == ({}, (), [])
    assert verdict["matching"] == {"contract": "none", "residual": {}}
    assert len(computed) == 16
    _, nothing = laboratory.run(plan)
    assert nothing == []
    more, fresh = laboratory.run(laboratory.plan(claim, seeds=10), "more")
    assert len(fresh) == 4
    assert more.verdict_json()["predictions"][0]["n"] == 10


def silent_on_speed(config, replicate):
    return {"error": 1.0}


def no_number(config, replicate):
    return {"error": math.nan, "speed": 1.0}


def number_alone(config, replicate):
    return 1.0


def complex_number(config, replicate):
    return {"error": torch.tensor(1j), "speed": 1.0}


def several_numbers(config, replicate):
    return {"error": torch.zeros(3), "speed": 1.0}


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (silent_on_speed, r"gave \['error'\] for arm 'exact', the task declares"),
        (number_alone, r"the measure number_alone gave a float for arm 'exact'.*expected a dict"),
        (complex_number, r"metric 'error' of arm 'exact', replicate 0, is a Tensor: expected one number"),
        (several_numbers, r"metric 'error' of arm 'exact', replicate 0, is a Tensor: expected one number"),
        (no_number, r"metric 'error' of arm 'exact'.* is nan"),
    ],
)
def test_measures_that_break_their_word(laboratory, measure, words):
    with pytest.raises(CellFailed, match=words):
        laboratory.run(laboratory.plan(measured_claim(laboratory.claim, measure)))
    assert not list((laboratory.root / "run" / CELLS).glob("*/result.json"))


def test_a_measure_without_a_source_is_refused(laboratory, monkeypatch):
    typed = ModuleType("typed_at_a_prompt")
    exec("def measure(config, replicate): return {}", typed.__dict__)
    monkeypatch.setitem(sys.modules, typed.__name__, typed)
    with pytest.raises(ConfigError, match="define it in a file"):
        laboratory.plan(measured_claim(laboratory.claim, measure=typed.measure)).verdict_cells({})


def test_smoke_gives_no_verdict(laboratory):
    record, _ = laboratory.run(laboratory.plan(profile="smoke"))
    assert record.verdict.word == "undecided (smoke)"
    assert record.verdict.exit_code == 12
    one, _ = laboratory.run(laboratory.plan(profile="smoke", seeds=1), "one")
    told = one.verdict_json()
    json.dumps(told, allow_nan=False)
    assert told["predictions"][0]["n"] == 1


def test_openings_of_the_test_split_are_counted(laboratory):
    plan = laboratory.plan(profile="smoke")
    for opening in (1, 2, 3):
        record, _ = laboratory.run(plan)
        assert record.measured["test_openings"] == opening
        (record.folder / "verdict.json").write_text(json.dumps(record.verdict_json()))


def test_progress_counts_what_is_spent(laboratory):
    told, stages = [], []

    def watch():
        return Watch(stage=lambda name, cells: stages.append((name, cells)), progress=told.append)

    plan = laboratory.plan()
    laboratory.run(plan, watch=watch())
    assert told[0] == Standing(0.0, None)  # nothing is known yet
    assert told[-1] == Standing(1.0, 0.0)
    assert len(told) == 1 + 12
    assert all(one.left > 0 and 0 < one.share < 1 for one in told[1:-1])
    assert stages == [("verdict", 12)]
    told.clear()
    laboratory.run(plan, watch=watch())
    assert told == [Standing(1.0, 0.0)]


def test_what_remains_is_priced_by_what_was_seen(laboratory):
    """Readings of one arm take a minute where the plan says a second: the time left says so after the first of them."""

    def slow(cell, result):
        seconds = 60.0 if (cell.kind, cell.arm) == ("read", "none") else 1.0
        return result | {"measured": {**result["measured"], "seconds": seconds}}

    plan, told = laboratory.plan(), []
    pace = Pace(price=lambda cell: 1.0)
    _, computed = laboratory.run(plan, spoil=slow, watch=Watch(progress=told.append), pace=pace)
    assert told[0].left == len(computed) == 12
    first = [(cell.kind, cell.arm) for cell in computed].index(("read", "none"))
    after = computed[first + 1 :]
    slower = sum((cell.kind, cell.arm) == ("read", "none") for cell in after)
    assert slower == 3
    assert told[first + 1].left == pytest.approx(60.0 * slower + len(after) - slower)
    assert all(one.left > 0 for one in told[:-1])


def test_cells_of_later_stages_are_part_of_what_remains(laboratory):
    """And what a prolonged grid adds is, as soon as it is known."""
    for extensions in (0, 1):
        profile = replace(laboratory.claim.profiles["tuned"], grid_extensions=extensions)
        plan, told = laboratory.plan(replace(laboratory.claim, profiles={"laptop": profile})), []
        watch, pace = Watch(progress=told.append), Pace(price=lambda cell: 1.0)
        laboratory.root = laboratory.root / "apart"  # from what the other has trained
        laboratory.run(plan, watch=watch, pace=pace, spoil=seconds_of_one)
        lefts = [round(one.left, 6) for one in told]
        if extensions == 0:
            assert lefts == [*range(20, 11, -1), *range(12, -1, -1)]
        else:
            (begins,) = [i for i in range(1, len(lefts)) if lefts[i] > lefts[i - 1]]
            assert lefts[begins] > 12
            assert lefts[begins - 1] == 12
        assert told[-1] == Standing(1.0, 0.0)


# The compiler looks at .grad of what it goes on from after a break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")
@pytest.mark.slow
def test_compiled_trainings_are_the_same_to_rounding(laboratory):
    """And cells of their own. This backend only traces."""
    plain, cells = laboratory.run(laboratory.plan(seeds=1), "plain")
    claim = with_profile(laboratory.claim, compiler="aot_eager")
    compiled, others = laboratory.run(laboratory.plan(claim, seeds=1), "compiled")
    assert not {cell.digest for cell in cells} & {cell.digest for cell in others}
    for name, one in plain.trained.items():
        other = compiled.trained[name]
        assert other.cell.compiler == "aot_eager"
        assert other.result["measured"]["programs"] == {}, "a compiled model tells nothing"
        assert other.result["metrics"] == pytest.approx(one.result["metrics"], rel=1e-4)


def seconds_of_one(cell, result):
    return result | {"measured": {**result["measured"], "seconds": 1.0}}


def test_what_was_found_is_no_speed(laboratory):
    """Cells of another machine say nothing of this one; those of this one do."""
    plan = laboratory.plan()
    laboratory.run(plan, "first")
    for path in (laboratory.root / "first" / CELLS).glob("*/result.json"):
        result = json.loads(path.read_text())
        result["measured"] |= {"host": "elsewhere", "seconds": 1000.0}
        path.write_text(json.dumps(result))
    told = []
    pace = Pace(price=lambda cell: 1.0)
    laboratory.run(laboratory.plan(seeds=4), "more", watch=Watch(progress=told.append), pace=pace)
    assert told[0] == Standing(0.5, 12.0)
    told.clear()
    for path in (laboratory.root / "first" / CELLS).glob("*/result.json"):
        result = json.loads(path.read_text())
        result["measured"]["host"] = platform.node()
        path.write_text(json.dumps(result))
    pace = Pace(price=lambda cell: 1.0)
    shutil.rmtree(laboratory.root / "more")
    laboratory.run(laboratory.plan(seeds=4), "more", watch=Watch(progress=told.append), pace=pace)
    assert told[0] == Standing(0.5, pytest.approx(12_000.0))


def test_the_programs_of_attention_are_told(laboratory):
    """By every cell, and once for all in the verdict."""
    record, _ = laboratory.run(laboratory.plan())
    told = record.verdict_json()["measured"]["programs"]
    why = "materialised: 12 keys are few enough for materialised scores to be faster on a CPU"
    assert [(one["kind"], one["shape"], one["why"], one["arms"], one["cells"]) for one in told] == [
        ("train", "batch 2, heads 2 / 2, length to 16, width 8 / 8, float32, threads 1", why, ["none", "rotary"], 6),
        ("read", "batch 16, heads 2 / 2, length to 16, width 8 / 8, float32, threads 1", why, ["none", "rotary"], 6),
    ]
    for computed in (*record.trained.values(), *record.read.values()):
        assert list(computed.result["measured"]["programs"].values()) == [[why]]
    assert "attention in training: batch 2, heads 2 / 2, length to 16" in markdown(record)


def test_a_budget_is_in_tokens(laboratory):
    plan = laboratory.plan(with_profile(laboratory.claim, budget=Budget(tokens=100)))
    assert plan.steps == 4  # of 24 tokens
    assert laboratory.plan(with_profile(laboratory.claim, budget=Budget(tokens=1))).steps == 1
