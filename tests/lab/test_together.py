"""A claim whose profile asks for two processes: torchrun carries its trainings out, to the losses of one process."""

import json
import os
from dataclasses import replace

import psutil
import pytest
import torch

from paribus.cli.conduct import environment_of, workers
from paribus.core.errors import ConfigError
from paribus.lab.estimate import estimate
from paribus.lab.executors.base import Again, Finished, Progress
from paribus.lab.executors.local import LocalExecutor, own_variables
from paribus.lab.folder import CELLS, EVENTS, SHARDED, WEIGHTS, RunFolder
from paribus.lab.load import load
from paribus.lab.plan import plan_json, with_dependencies
from paribus.lab.torchrun import of_a_peer
from paribus.losses.output.earth_mover import EarthMover

RATES = {"rotary": 1e-2, "none": 1e-2}
TOLERANCE = 1e-5  # nats: the order of sums in float32, over ten steps

TWO = """
import glob, os, signal
from dataclasses import dataclass, replace
from paribus.lab.load import load
from paribus.layers.activations.squared_relu import SquaredReLU

tiny = load({tiny!r})[1]

class Fragile(SquaredReLU):
    source = "a test"

    def __call__(self, x):
        if os.environ.get("RANK") == "1" and os.path.exists({mark!r}) and glob.glob({progress!r}):
            os.unlink({mark!r})
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(x)

profiles = {{name: replace(tiny.profiles["laptop"], processes=n) for name, n in (("one", 1), ("two", 2))}}
feed_forward = replace(tiny.arms[0].config.feed_forward, activation=Fragile())
arms = [replace(arm, config=replace(arm.config, feed_forward=feed_forward)) for arm in tiny.arms]
claim = replace(tiny, arms=arms, profiles=profiles)
"""


@pytest.fixture
def two(laboratory, tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        TWO.format(
            tiny=str(laboratory.tiny),
            mark=str(tmp_path / "mark"),
            progress=str(tmp_path / "run" / CELLS / "*" / SHARDED),
        )
    )
    return path


@pytest.fixture
def start(tmp_path):
    executors = []

    def start(claim, profile):
        settings = {
            "claim": str(claim), "profile": profile, "seeds": None, "threads": 1, "device": "cpu",
            "folder": str(tmp_path / "run"), "data": None, "checkpoint_seconds": 0.0, "gpus": 0, "processes": 2,
        }  # fmt: skip
        executors.append(LocalExecutor(1, settings))
        return executors[-1]

    yield start
    for executor in executors:
        executor.close()
    assert not [one for one in psutil.Process().children(recursive=True) if "torch.distributed.run" in one.cmdline()]


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(laboratory, two, start, tmp_path):
    """One of them is killed on the way: the cell is tried again, and goes on from the state that both had kept."""
    claim = load(str(two))[1]
    plan = laboratory.plan(claim, "two")
    reading = plan.verdict_cells(RATES)[0]
    (tmp_path / "mark").touch()
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        events = list(start(two, "two").run(with_dependencies([reading]), RATES))
    again = [event for event in events if isinstance(event, Again)]
    assert [event.why for event in again] == ["ended with code 70"]
    after = events[events.index(again[0]) :]
    first = next(event for event in after if isinstance(event, Progress) and event.cell.kind == "train")
    assert first.done > 1, "it went on from the state that both had kept"
    two_by = {event.cell.kind: event.result for event in events if isinstance(event, Finished)}
    place = tmp_path / "run" / CELLS / reading.weights.digest
    assert not list(place.glob(f"{SHARDED}*"))
    assert (place / WEIGHTS).exists()

    alone = laboratory.plan(claim, "one")
    laboratory.run(alone, "alone")
    here = RunFolder(laboratory.root / "alone")
    one = alone.verdict_cells(RATES)[0]
    assert one.digest != reading.digest
    one_by = {cell.kind: here.result(cell) for cell in (one, one.weights)}
    for kind in ("train", "read"):
        assert two_by[kind]["metrics"] == pytest.approx(one_by[kind]["metrics"], abs=TOLERANCE)
    assert two_by["train"]["order"] == one_by["train"]["order"]
    assert two_by["train"]["initial"] == one_by["train"]["initial"]
    losses = [
        [json.loads(line)["loss"] for line in (folder / EVENTS).read_text().splitlines()]
        for folder in (place, here.cell(one.weights))
    ]
    assert len(losses[0]) == plan.steps
    assert losses[0] == pytest.approx(losses[1], abs=TOLERANCE)


def test_what_several_processes_cannot_do(laboratory):
    def plan(claim, **changes):
        return laboratory.plan(replace(claim, profiles={"laptop": replace(claim.profiles["laptop"], **changes)}))

    claim = laboratory.claim
    with pytest.raises(ConfigError, match="a batch of 2 rows for processes = 3: each needs a row"):
        plan(claim, processes=3)
    lossy = replace(claim, arms=[claim.arms[0], replace(claim.arms[1], loss=EarthMover.Config())])
    with pytest.raises(ConfigError, match="processes = 2, and none has a loss of its own"):
        plan(lossy, processes=2)
    for processes in (0, -1):
        with pytest.raises(ConfigError, match=f"processes = {processes}: expected at least 1"):
            plan(claim, processes=processes)


def test_one_process_is_what_it_always_was(laboratory):
    """Neither plans nor cells of one process know the word: what was computed before it came stays valid."""
    claim = laboratory.claim
    plan = laboratory.plan()
    assert "processes" not in json.dumps(plan.described())
    cell = plan.verdict_cells(RATES)[0].weights
    assert "processes" not in json.dumps(cell.described())
    both = replace(claim.profiles["laptop"], processes=2)
    other = laboratory.plan(replace(claim, profiles={"laptop": both}))
    assert other.described()["settings"]["processes"] == 2
    assert other.verdict_cells(RATES)[0].weights.described()["task"]["processes"] == 2


def test_gpus_cores_and_memory_of_two_processes(laboratory, monkeypatch):
    settings = {"threads": 1, "device": "cuda", "gpus": 4, "processes": 2}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [own_variables(settings, k)["CUDA_VISIBLE_DEVICES"] for k in range(3)] == ["0,1", "2,3", "0,1"]
    profile = replace(laboratory.claim.profiles["laptop"], processes=2)
    claim = replace(laboratory.claim, profiles={"laptop": profile})
    assert estimate(laboratory.plan(claim), 1).bytes_per_worker > 3 * estimate(laboratory.plan(), 1).bytes_per_worker
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(7))
    assert workers(profile, None) == 3
    assert workers(profile, 5) == 5
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="trains on 2 GPUs at once and torch sees 1"):
        environment_of(replace(profile, device="cuda"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection reset by peer"), True),
        (torch.distributed.DistNetworkError("the client socket has failed"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("gloo"), False),
    ],
)
def test_whose_error_it_is(error, expected):
    assert of_a_peer(error) == expected
