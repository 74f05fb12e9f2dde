"""Seeds stacked into one model, as cells of a run: the numbers of seeds alone, and all else of the lab as ever."""

import json
from dataclasses import replace

import psutil
import pytest
import torch
from torch import nn

from paribus.attention.masks.input_prefix import InputPrefix
from paribus.core.errors import ConfigError
from paribus.lab import estimate as lab_estimate
from paribus.lab import stack, work
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.estimate import STARTUP_SECONDS, estimate
from paribus.lab.executors.base import Again, Finished, Patience, Progress, left_behind, spell
from paribus.lab.executors.local import LocalExecutor
from paribus.lab.folder import CELLS, EVENTS, RESULT, WEIGHTS, RunFolder, read_lines
from paribus.lab.load import load
from paribus.lab.merge import merge
from paribus.lab.pace import Pace
from paribus.lab.plan import plan_json, with_dependencies
from paribus.lab.report.markdown import markdown
from paribus.lab.run import Watch
from paribus.lab.stack import asked_for, compute, spelled
from paribus.lab.trend import Trend
from paribus.lab.verify import verify
from paribus.losses.output.earth_mover import EarthMover
from paribus.models.any_module import AnyModule
from paribus.theory import memory
from paribus.training.optimizers.base import OptimizerRecipe

RATES = {"rotary": 1e-2, "none": 1e-2}
# Nats, or the share of a metric: another order of sums in float32, over ten steps of the tiny claim.
BOUND = 1e-5


def nothing(config, replicate):
    return {}


def stacked(claim, size=2, seeds=range(5), profile="laptop", **changes):
    return replace(claim, profiles={"laptop": replace(claim.profiles[profile], seeds=seeds, stack=size, **changes)})


@pytest.fixture
def plan(laboratory):
    return laboratory.plan(stacked(laboratory.claim))


@pytest.fixture
def small(laboratory):
    """One stack and a seed alone."""
    return laboratory.plan(stacked(laboratory.claim, seeds=range(3)))


def apart(laboratory, name):
    """The same laboratory in a place where no neighbour has finished a cell."""
    return replace(laboratory, root=laboratory.root / name)


def contents(run):
    """Everything in the cells of a run that must come out the same."""
    found = {}
    for path in sorted((run / CELLS).rglob("*")):
        name = str(path.relative_to(run))
        if path.name == RESULT:
            found[name] = {k: v for k, v in json.loads(path.read_text()).items() if k != "measured"}
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def test_seeds_are_cut_as_they_are_listed():
    profile = Profile(seeds=(4, 0, 7, 1, 9), tuning_seeds=(1001, 1002), stack=2)
    assert profile.stacks(profile.seeds) == [(4, 0), (7, 1)]
    assert [profile.stack_of(seed) for seed in (0, 1, 9, 1002, 5)] == [(4, 0), (7, 1), (), (1001, 1002), ()]
    assert replace(profile, stack=8).stack_of(9) == profile.seeds
    assert replace(profile, stack=1).stacks(profile.seeds) == []
    assert spelled(replace(profile, seeds=range(7), stack=3)) == "0 to 2; 3 to 5"
    assert spelled(profile) == "4, 0; 7, 1"
    assert spelled(replace(profile, stack=1)) == ""


def test_a_cell_says_which_seeds_it_was_stacked_with(laboratory, plan):
    trainings = {
        (cell.arm, cell.phase, cell.replicate): cell
        for cell in with_dependencies(plan.verdict_cells(RATES))
        if cell.kind == "train"
    }
    one, other, alone = (trainings["rotary", "verdict", seed] for seed in (2, 3, 4))
    assert one.described()["task"]["stack"] == other.described()["task"]["stack"] == [2, 3]
    assert one.stacked == other.stacked == (one, other)
    assert [cell.digest for cell in other.stacked] == [one.digest, other.digest]
    assert one.lead.digest == other.lead.digest == one.digest
    twin = trainings["none", "aa", 3]
    assert [cell.perturbed for cell in twin.stacked] == [True, True]
    assert (alone.stack, alone.stacked, alone.lead) == ((), (alone,), alone)
    assert [cell.digest for cell in asked_for([other, alone, one])] == [one.digest, alone.digest]
    # More seeds leave whole stacks as they are; a profile without stacks knows nothing of them.
    more = laboratory.plan(stacked(laboratory.claim, seeds=range(7)))
    cells = [more._train(more.claim.arm("rotary"), "verdict", 1e-2, seed, more.steps, RATES) for seed in (3, 4)]
    assert cells[0].digest == other.digest
    assert cells[1].digest != alone.digest
    plain = laboratory.plan(stacked(laboratory.claim, 1))
    assert "stack" not in json.dumps(plain.described())
    assert plan.described()["settings"]["stack"] == 2
    cells = {cell.digest for cell in with_dependencies(plain.verdict_cells(RATES))}
    assert alone.digest in cells
    assert not {one.digest, other.digest} & cells
    assert plain.training(plain.claim.arms[0], 1e-2, 0, 10) == plan.training(plan.claim.arms[0], 1e-2, 0, 10)


def test_stacked_seeds_are_seeds_alone_to_rounding_and_the_same_bits_again(laboratory):
    """With a search of rates, twins, a seed that is left over, and readings."""
    changes = {"profile": "tuned", "grid_extensions": 0}
    alone, _ = apart(laboratory, "alone").run(laboratory.plan(stacked(laboratory.claim, 1, **changes)))
    plan = laboratory.plan(stacked(laboratory.claim, 2, **changes))
    record, asked = apart(laboratory, "once").run(plan)
    assert sorted({len(cell.stack) for cell in asked if cell.kind == "train"}) == [0, 2]
    assert len([cell for cell in asked if cell.phase == "tune"]) == 2 * 2  # arms x rates, both seeds at once
    assert record.rates == alone.rates
    for key, one in alone.trained.items():
        ours, theirs = record.trained[key].result, one.result
        assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=BOUND)
        assert [ours[word] for word in ("status", "steps", "order", "initial")] == [
            theirs[word] for word in ("status", "steps", "order", "initial")
        ]
        assert (key[1] == 4) == (ours["digest"] == theirs["digest"])
    for arm, seeds in alone.results.items():
        for seed, metrics in seeds.items():
            assert record.results[arm][seed]["loss@12"] == pytest.approx(metrics["loss@12"], abs=BOUND)
    assert record.noise["helps"].values == pytest.approx(alone.noise["helps"].values, abs=BOUND)
    losses = [
        [[json.loads(line)["loss"] for line in (one.folder / CELLS / cell.digest / EVENTS).read_text().splitlines()]
         for cell in (computed.cell for computed in one.trained.values())]
        for one in (alone, record)
    ]  # fmt: skip
    for ours, theirs in zip(*losses, strict=True):
        assert ours == pytest.approx(theirs, abs=BOUND)

    again, _ = apart(laboratory, "again").run(plan)
    assert contents(again.folder) == contents(record.folder)
    assert again.verdict_json()["predictions"] == record.verdict_json()["predictions"]
    nothing = apart(laboratory, "again").run(plan)[1]
    assert nothing == []


def test_report_and_verdict_say_it(laboratory, plan):
    record, _ = laboratory.run(plan)
    verdict = record.verdict_json()
    assert verdict["stacks"] == [[0, 1], [2, 3]]
    assert "stacked seeds: 0, 1; 2, 3: each piece trained as one batched model" in markdown(record)
    (record.folder / "verdict.json").write_text(json.dumps(verdict))
    assert verify(record.folder / "verdict.json") == []
    plain, _ = laboratory.run(laboratory.plan(), "plain")
    assert "stacks" not in plain.verdict_json()
    assert "stacked" not in markdown(plain)


def test_a_run_broken_off_between_two_cells_of_a_stack(laboratory, small, monkeypatch):
    """What was written is whole and stays as it is; the rest of its stack is trained anew, to the bits of no kill."""
    undisturbed, _ = apart(laboratory, "undisturbed").run(small)
    written = []

    def killed(cell, *rest):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(cell)
        return work.finish(cell, *rest)

    monkeypatch.setattr(stack, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        laboratory.run(small)
    monkeypatch.setattr(stack, "finish", work.finish)
    (first,) = (laboratory.root / "run" / CELLS).glob(f"*/{RESULT}")
    assert first.parent.name == written[0].digest == written[0].lead.digest
    assert left_behind(laboratory.root / "run" / CELLS, written[0]) is None
    touched = {path: path.stat().st_mtime_ns for path in first.parent.iterdir()}
    told = []
    record, asked = laboratory.run(small, watch=Watch(stage=lambda name, cells: told.append(cells)))
    assert written[0].digest in {cell.digest for cell in asked}
    assert told == [len(with_dependencies(small.verdict_cells(RATES))) - 1]
    assert {path: path.stat().st_mtime_ns for path in first.parent.iterdir()} == touched
    assert contents(record.folder) == contents(undisturbed.folder)


def test_a_run_broken_off_in_the_training_begins_it_anew(laboratory, small, monkeypatch):
    undisturbed, _ = apart(laboratory, "undisturbed").run(small)

    def killed(done, of):
        if done == 7:
            raise KeyboardInterrupt

    lead = asked_for(with_dependencies(small.verdict_cells(RATES)))[0]
    cells = laboratory.root / "run" / CELLS
    with pytest.raises(KeyboardInterrupt):
        compute(lead, small.task, small.task.data.prepare(), cells, killed)
    assert {path.name for one in lead.stacked for path in (cells / one.digest).iterdir()} == {"cell.json", EVENTS}
    (laboratory.root / "run" / "plan.json").write_text(plan_json(small))
    record, _ = laboratory.run(small)
    assert contents(record.folder) == contents(undisturbed.folder)


def test_a_stack_is_seen_to_be_at_work(laboratory, small):
    """By its files, from other machines, as often as a checkpoint would be due."""
    lead = asked_for(with_dependencies(small.verdict_cells(RATES)))[0]
    for seconds, last in ((0.0, small.steps), (1000.0, 0)):
        seen, told = [], []

        def tell(done, of, cells=laboratory.root / str(seconds), seen=seen, told=told):
            seen.append(len(read_lines(cells / lead.digest / EVENTS)))
            told.append((done, of))

        compute(lead, small.task, small.task.data.prepare(), laboratory.root / str(seconds), tell, seconds)
        assert seen[-1] == last
        assert told == [(step, small.steps) for step in range(1, small.steps + 1) for _ in lead.stack]


def test_the_machines_of_a_merge_each_did_a_part(laboratory, small):
    """Of a stack one cell came with each folder: nothing is left to do."""
    first, _ = apart(laboratory, "one").run(small)
    second, _ = apart(laboratory, "two").run(small)
    one, other = first.trained["rotary", 0].cell.stacked
    (first.folder / CELLS / one.digest / RESULT).unlink()
    (second.folder / CELLS / other.digest / RESULT).unlink()
    merge([first.folder, second.folder], laboratory.root / "merged")
    record, asked = laboratory.run(small, "merged")
    assert asked == []
    assert record.results == second.results


def test_weights_that_were_cleaned_away_come_back(laboratory, small):
    record, _ = laboratory.run(small)
    reading = record.read["rotary", 1].cell
    expected = (record.folder / CELLS / reading.weights.digest / WEIGHTS).read_bytes()
    for one in reading.weights.stacked:
        (record.folder / CELLS / one.digest / "weights.removed").touch()
        (record.folder / CELLS / one.digest / WEIGHTS).unlink()
    (record.folder / CELLS / reading.digest / RESULT).unlink()
    again, asked = laboratory.run(small)
    assert [cell.digest for cell in asked] == [reading.weights.lead.digest, reading.digest]
    assert (record.folder / CELLS / reading.weights.digest / WEIGHTS).read_bytes() == expected
    assert again.results == record.results


def test_one_seed_of_a_stack_diverges(laboratory, small, monkeypatch):
    """It counts as the worst, like any other, and the seeds beside it are what they always were."""
    undisturbed, _ = apart(laboratory, "undisturbed").run(small)

    def start_of(cell, cells, device):
        model, initial = work.start_of(cell, cells, device)
        if (cell.arm, cell.replicate, cell.perturbed) == ("rotary", 1, False):
            nn.init.constant_(model.embedding.weight, float("inf"))
        return model, initial

    monkeypatch.setattr(stack, "start_of", start_of)
    notes = []
    record, _ = laboratory.run(small, watch=Watch(note=notes.append))
    assert notes == ["rotary, seed 1: diverged, counted as the worst value"] * 2  # trained, then read
    status = {key: one.result["status"] for key, one in record.trained.items()}
    assert [key for key, word in status.items() if word == "diverged"] == [("rotary", 1)]
    place = record.folder / CELLS / record.trained["rotary", 1].cell.digest
    assert not (place / WEIGHTS).exists()
    assert len((place / EVENTS).read_text().splitlines()) == 1
    assert record.results["rotary"][1] == {"loss@12": pytest.approx(2.0794415), "accuracy@12": 1 / 7}
    assert record.results["rotary"][0] == undisturbed.results["rotary"][0]
    assert record.results["none"] == undisturbed.results["none"]


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(8, 4), nn.Linear(4, 8)

    def forward(self, tokens):
        return self.out(nn.functional.dropout(self.embedding(tokens), 0.5, self.training))


class Counting(nn.Module):
    """Its state is no buffer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.out, self.steps = nn.Embedding(8, 4), nn.Linear(4, 8), 0

    def forward(self, tokens):
        self.steps += self.training
        return self.out(self.embedding(tokens)) * (1 + 0.1 * self.steps)


class Anew(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(8, 4), nn.Linear(4, 8)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 1))
        return self.out(x - 5 * self.mean)


def test_buffers_of_a_stack_are_those_of_seeds_alone(laboratory):
    arms = [laboratory.claim.arms[0], replace(laboratory.claim.arms[1], config=AnyModule.Config(make=Anew))]
    claim = replace(laboratory.claim, arms=arms, task=replace(laboratory.claim.task, match="none"))
    alone, _ = apart(laboratory, "alone").run(laboratory.plan(stacked(claim, 1, range(2))))
    record, _ = laboratory.run(laboratory.plan(stacked(claim, 2, range(2))))
    for seed in range(2):
        assert record.results["none"][seed] == pytest.approx(alone.results["none"][seed], abs=BOUND)


class Steepest(OptimizerRecipe):
    source = "a test"

    def make(self, model):
        return torch.optim.LBFGS(model.parameters())


def test_what_cannot_be_stacked_is_said_before_anything_is_spent(laboratory):
    claim = laboratory.claim
    first, second = claim.arms
    with pytest.raises(ConfigError, match="stack = 0: expected at least 1"):
        stacked(claim, 0)
    for name, change in (
        ("processes", {"processes": 2}),
        ("compiler", {"compiler": "inductor"}),
        ("a trend", {"trend": Trend(shares=(0.5,))}),
    ):
        with pytest.raises(ConfigError, match=f"stack = 2 and {name}: a stack is one process"):
            stacked(claim, **change)
    with pytest.raises(ConfigError, match="stack = 2, and this task trains nothing"):
        replace(
            stacked(claim), arms=[Arm("rotary", {}), Arm("none", {})],
            task=Measured(measure=nothing, unit="draw", units={"loss@12": "1"}),
        )  # fmt: skip
    dropping = AnyModule.Config(make=Dropping)
    reading = first.config.with_mixer(mask=InputPrefix())
    for arms, task, words in (
        ([first, replace(second, loss=EarthMover.Config())], claim.task, "'none' has a loss of its own.*stack = 1"),
        ([first, replace(second, starts_from="rotary")], claim.task, "'none' starts from 'rotary'.*take stack = 1"),
        ([first, replace(second, config=reading)], claim.task, "'none' lets an input see itself.*take stack = 1"),
        ([first, replace(second, config=dropping)], replace(claim.task, match="none"),
         "'none' cannot be stacked.*take stack = 1.*random"),
        ([first, replace(second, config=AnyModule.Config(make=Counting))], replace(claim.task, match="none"),
         "'none' cannot be stacked.*leave other logits than each seed alone"),
        ([first, second], replace(claim.task, recipe=replace(claim.task.recipe, optimizer=Steepest())),
         "'rotary' cannot be stacked.*take stack = 1.*LBFGS may mix"),
    ):  # fmt: skip
        other = replace(claim, arms=arms, task=task)
        with pytest.raises(ConfigError, match=f"(?s)stack = 2, and arm {words}"):
            laboratory.plan(stacked(other))
        assert laboratory.plan(stacked(other, 1)).profile.stack == 1


def test_what_a_stack_costs(laboratory, monkeypatch):
    """A worker holds all its seeds at once, and no stack is done by more than one worker."""
    monkeypatch.setattr(lab_estimate, "probe", lambda plan, seeds=0: 1e3 * (1 + seeds))
    monkeypatch.setattr(memory, "training_bytes", lambda n_parameters, activations: 2**30)
    alone, five = (laboratory.plan(stacked(laboratory.claim, size, seeds=range(6))) for size in (1, 5))
    one, cost = estimate(alone, 1), estimate(five, 1)
    assert (one.stacked, cost.stacked) == ({}, {0: 1e3, 5: 6e3})
    assert (one.speed, cost.speed) == (1e3, 6e3)
    assert (cost.flops, cost.cells) == (one.flops, one.cells)
    n = five.sized["rotary"].n_parameters
    assert cost.bytes_per_worker - one.bytes_per_worker == 5 * (2**30 + 4 * n) - 2**30
    trainings = [cell for cell in five.expected_cells() if cell.kind == "train"]
    first, last = trainings[0], trainings[-1]
    assert (cost.price(first), cost.price(last)) == (first.cost / 6e3, last.cost / 1e3)
    assert estimate(five, 1000).seconds == pytest.approx(STARTUP_SECONDS + 5 * cost.price(first))
    assert spell(first) == "training arm 'rotary', seeds 0, 1, 2, 3, 4, stacked, learning rate 0.01"
    assert Patience(timeout=None, speed=1.0).limit(first) == pytest.approx(20 * 5 * first.cost)


def test_the_pace_of_a_stack(plan):
    """Four seconds for half of two seeds: eight for both, four for each, and neither is ready before both are."""
    pace = Pace(price=lambda cell: 1.0, jobs=10)
    cells = [cell for cell in with_dependencies(plan.verdict_cells(RATES)) if cell.kind == "train"][:2]
    pair = cells[0].stacked
    for share, now in ((0.0, 0.0), (0.5, 4.0)):
        for one in pair:
            pace.at_work(one, share, now)
    assert pace.standing([], [(one, 0.5) for one in pair]).left == pytest.approx(4.0)
    assert pace.standing([], [(one, 0.0) for one in pair]).left == pytest.approx(8.0)


KILLER = """
import os, signal
from pathlib import Path
from paribus.lab.load import load
from dataclasses import replace

tiny = load({tiny!r})[1]
claim = replace(tiny, profiles={{"laptop": replace(tiny.profiles["laptop"], stack=2)}})
left, rename = Path({left!r}), os.replace

def rename_or_die(source, target):
    if Path(target).name == "result.json" and left.exists():
        if left.stat().st_size == 1:
            left.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        left.write_text("x")
    rename(source, target)

os.replace = rename_or_die
"""


@pytest.mark.slow
def test_a_worker_killed_between_two_cells_of_a_stack(laboratory, tmp_path):
    """Real processes: the stack is tried again by a new worker, and the bits are those of this process."""
    path = tmp_path / "killer.py"
    path.write_text(KILLER.format(tiny=str(laboratory.tiny), left=str(tmp_path / "left")))
    plan = laboratory.plan(load(str(path))[1])
    readings = [cell for cell in plan.verdict_cells(RATES) if (cell.arm, cell.phase) == ("rotary", "verdict")]
    settings = {
        "claim": str(path), "profile": "laptop", "seeds": None, "threads": 1, "device": "cpu",
        "folder": str(tmp_path / "run"), "data": None, "checkpoint_seconds": 20.0, "gpus": 0,
    }  # fmt: skip
    (tmp_path / "left").touch()
    executor = LocalExecutor(2, settings)
    try:
        with RunFolder(tmp_path / "run").opened(plan_json(plan)):
            events = list(executor.run(asked_for(with_dependencies(readings)), RATES))
    finally:
        executor.close()
    assert [(event.cell.lead.digest, event.why) for event in events if isinstance(event, Again)] == [
        (readings[0].weights.digest, "was killed")
    ]
    done = [event.cell for event in events if isinstance(event, Finished)]
    assert [cell.kind for cell in done] == ["train", "read", "read"]
    assert all(event.of == plan.steps for event in events if isinstance(event, Progress) if event.cell.kind == "train")
    assert not [one for one in psutil.Process().children(recursive=True) if "paribus.lab.worker" in one.cmdline()]
    record, _ = laboratory.run(plan, "here")
    here, there = (contents(folder) for folder in (record.folder, tmp_path / "run"))
    assert there == {name: here[name] for name in there}
    assert len(list((tmp_path / "run" / CELLS).glob(f"*/{RESULT}"))) == 4
