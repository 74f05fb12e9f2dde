"""Worker processes: what they do, what they say when they cannot, and that none is left behind."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from paribus.core.errors import CellFailed, InputError
from paribus.lab.cell import Cell, Environment
from paribus.lab.executors.base import TRIES, Again, Finished, Patience, Progress, request
from paribus.lab.executors.local import LocalExecutor, own_variables
from paribus.lab.folder import CELLS, RunFolder
from paribus.lab.load import load
from paribus.lab.plan import plan_json, with_dependencies
from paribus.lab.worker import find_cell

RATES = {"rotary": 1e-2, "none": 1e-2}

# A measure that does to its worker whatever its arm says.
TROUBLE = """
import os, signal, subprocess, sys
from dataclasses import replace
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.load import load

print("a word at import")

def measure(config, replicate):
    print("a word of the user's model", flush=True)
    os.write(1, b"and one from native code\\n")
    match config["does"]:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exits":
            sys.stderr.write("last words of a worker\\n")
            os._exit(3)
        case "leaves":
            sys.exit(config["mark"] and 5)
        case "raises":
            raise ValueError("no such luck")
        case "fills the disk":
            open("/dev/full", "w").write("x" * 100_000)
        case "hangs":
            sys.stderr.write("waiting for a lock\\n")
            subprocess.Popen(["sleep", "1000"])
            signal.pause()
        case "killed once" | "hangs once" if not os.path.exists(config["mark"]):
            open(config["mark"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL if config["does"] == "killed once" else signal.SIGSTOP)
    return {"x": float(replicate)}

tiny = load(%r)[1]
claim = replace(
    tiny,
    arms=[
        Arm(name, {"does": name, "mark": %r + name})
        for name in (
            "works", "killed", "exits", "leaves", "raises", "fills the disk", "hangs", "killed once", "hangs once"
        )
    ],
    task=Measured(measure=measure, unit="draw", units={"x": "1"}),
    profiles={"laptop": Profile(seeds=(0,))},
    predicts=[replace(tiny.predicts[0], arm="works", than="killed", metric="x")],
)
"""


@pytest.fixture
def start(tmp_path):
    """Executors that are closed at the end, whatever happens."""
    executors = []

    def start(claim, profile="laptop", jobs=1, **changes):
        settings = {
            "claim": str(claim),
            "profile": profile,
            "seeds": None,
            "threads": 1,
            "device": "cpu",
            "folder": str(tmp_path / "run"),
            "data": None,
            "checkpoint_seconds": 20.0,
            "gpus": 0,
        }
        executors.append(LocalExecutor(jobs, settings | changes))
        return executors[-1]

    yield start
    for executor in executors:
        executor.close()
    assert not [p for p in psutil.Process().children(recursive=True) if "paribus.lab.worker" in p.cmdline()]


@pytest.fixture
def trouble(laboratory, tmp_path):
    path = tmp_path / "trouble.py"
    path.write_text(TROUBLE % (str(laboratory.tiny), str(tmp_path / "mark of ")))
    (tmp_path / "run").mkdir()
    plan = laboratory.plan(load(str(path))[1])
    return path, {cell.arm: cell for cell in plan.verdict_cells({})}


def test_what_the_workers_compute_is_what_this_process_computes(laboratory, start, tmp_path):
    plan = laboratory.plan(profile="smoke")
    cells = with_dependencies(plan.verdict_cells(RATES))
    executor = start(laboratory.tiny, "smoke", jobs=2)
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        events = list(executor.run(cells, RATES))
    assert {type(event) for event in events} <= {Finished, Progress}
    finished = [event for event in events if isinstance(event, Finished)]
    assert {event.cell.digest for event in finished} == {cell.digest for cell in cells}
    done = set()
    for event in finished:  # a reading comes after the training that it needs
        assert event.cell.weights is None or event.cell.weights.digest in done
        done.add(event.cell.digest)
    laboratory.run(plan, "here")
    here, there = laboratory.root / "here" / CELLS, tmp_path / "run" / CELLS
    for cell in cells:
        for name in ("events.jsonl", "weights.safetensors"):
            if cell.kind == "train":
                assert (here / cell.digest / name).read_bytes() == (there / cell.digest / name).read_bytes()
        ours, theirs = (json.loads((folder / cell.digest / "result.json").read_text()) for folder in (here, there))
        assert {**ours, "measured": 0} == {**theirs, "measured": 0}


def test_prints_of_the_user_and_errors_of_a_cell(trouble, start):
    """Whatever is printed stays out of the protocol; an exception belongs to its cell."""
    path, cells = trouble
    executor = start(path)
    (event,) = executor.run([cells["works"]], {})
    assert event.result["metrics"] == {"x": 0.0}
    with pytest.raises(CellFailed, match="measuring arm 'raises', seed 0: ValueError: no such luck") as caught:
        list(executor.run([cells["raises"]], {}))
    assert caught.value.exit_code == 1


def test_a_full_disk_is_said(trouble, start):
    path, cells = trouble
    with pytest.raises(CellFailed, match=r"No space left on device.*finished cells are kept"):
        list(start(path).run([cells["fills the disk"]], {}))


def test_a_cell_that_calls_sys_exit_is_not_tried_again(trouble, start):
    path, cells = trouble
    executor = start(path)
    with pytest.raises(
        CellFailed, match=r"measuring arm 'leaves', seed 0: its code called sys\.exit\(5\): raise an error"
    ):
        list(executor.run([cells["leaves"]], {}))
    assert not executor.lost


@pytest.fixture
def tries(monkeypatch):
    """Fewer than users have: each costs the start of a process."""

    def set_to(count):
        monkeypatch.setattr("paribus.lab.executors.local.TRIES", count)

    assert TRIES == 3
    return set_to


def test_a_worker_killed_for_memory(trouble, start, tries):
    path, cells = trouble
    tries(2)
    executor = start(path)
    with pytest.raises(
        CellFailed, match=r"was killed while it worked on measuring arm 'killed', seed 0, 2 times.*--jobs"
    ) as told:
        list(executor.run([cells["killed"]], {}))
    assert told.value.exit_code == 1
    assert "the same command goes on" in str(told.value)
    assert executor.lost == {cells["killed"].digest: 2}


def test_a_worker_that_ends_tells_its_last_words(trouble, start, tries):
    path, cells = trouble
    tries(1)
    with pytest.raises(CellFailed, match=r"ended with code 3 while it worked on measuring arm 'exits'") as told:
        list(start(path).run([cells["exits"]], {}))
    assert "Its last words:\n" in str(told.value)
    assert str(told.value).endswith("\n  last words of a worker")


def test_a_worker_that_ends_without_a_word(trouble, start, tries):
    path, cells = trouble
    tries(1)
    with pytest.raises(
        CellFailed, match=r"a worker ended with code 4 .*It left no words: look for os\._exit or a crash"
    ):
        start(path)._count(cells["exits"], SimpleNamespace(errors=[]), "ended with code 4")


def test_a_worker_that_dies_or_hangs_once_is_replaced(trouble, start, tmp_path):
    """Real processes: one kills itself, one stops for good; both cells are finished by the workers after them."""
    path, cells = trouble
    executor = start(path, jobs=2, timeout=3.0)
    events = list(executor.run([cells["hangs once"], cells["killed once"], cells["works"]], {}))
    again = {event.cell.arm: event.why for event in events if isinstance(event, Again)}
    assert again == {"killed once": "was killed", "hangs once": "it said nothing for 3 seconds, the --timeout"}
    done = {event.cell.arm: event.result["metrics"] for event in events if isinstance(event, Finished)}
    assert done == {name: {"x": 0.0} for name in ("hangs once", "killed once", "works")}
    assert len(executor.workers) == 2


def test_a_worker_that_always_hangs(trouble, start, tries):
    path, cells = trouble
    tries(1)
    with pytest.raises(
        CellFailed,
        match=r"(?s)was stopped while it worked on measuring arm 'hangs', seed 0, 1 times.*words:.*waiting for a lock",
    ):
        list(start(path, timeout=1.0).run([cells["hangs"]], {}))
    assert not [one for one in psutil.Process().children(recursive=True) if one.name() == "sleep"]


def test_patience():
    cell = Cell(
        kind="measure", arm="a", phase="verdict", config={}, task={}, revisions={}, replicate=0,
        environment=Environment("", "cpu", 1), cost=1e12,
    )  # fmt: skip
    assert Patience(timeout=7.0, speed=1e9).limit(cell) == 7.0
    assert Patience(timeout=None, speed=1e9).limit(cell) == 20 * 1000.0
    assert Patience(timeout=None, speed=1e12).limit(cell) == Patience.LEAST
    assert Patience(timeout=None, speed=None).limit(cell) is None
    assert Patience(None, 1e9).spell(cell) == "it said nothing for 20000 seconds, 20 times the estimate of 1000"
    slow = Patience(None, speed=1e12, reading={"a": 1e9})  # as its readings were probed
    assert slow.limit(replace(cell, kind="read")) == 20 * 1000.0
    assert slow.spell(replace(cell, kind="read")).endswith("20 times the estimate of 1000")
    assert slow.limit(replace(cell, kind="read", arm="b")) == slow.limit(cell) == Patience.LEAST


def test_a_result_written_just_before_the_end_is_taken(trouble, start, tmp_path, monkeypatch):
    path, cells = trouble
    executor = start(path)
    cell = cells["killed"]
    (tmp_path / "run" / CELLS / cell.digest).mkdir(parents=True)
    left = {"status": "finished", "metrics": {"x": 7.0}, "measured": {}, "digest": cell.digest}
    (tmp_path / "run" / CELLS / cell.digest / "result.json").write_text(json.dumps(left))
    (event,) = executor.run([cell], {})
    assert event == Finished(cell, left)


def test_time_in_which_this_process_was_stopped_does_not_count(trouble, start, monkeypatch):
    """Ctrl-Z of the command for longer than the patience: nobody is called silent for it."""
    path, cells = trouble
    executor = start(path, timeout=2.0)
    began = time.monotonic()
    slept = []

    def clock():
        return began + (time.perf_counter() - at) + sum(slept)

    at = time.perf_counter()
    monkeypatch.setattr("paribus.lab.executors.local.time.monotonic", clock)
    (first,) = executor.run([cells["works"]], {})
    ask = type(executor.workers[0]).ask

    def asleep(worker, cell, rates):
        ask(worker, cell, rates)
        slept.append(1000.0)

    monkeypatch.setattr(type(executor.workers[0]), "ask", asleep)
    (second,) = executor.run([cells["works"]], {})
    assert first == Finished(cells["works"], first.result)
    assert second.cell == cells["works"]


def test_a_claim_that_vanished(laboratory, start, tmp_path):
    cell = laboratory.plan().verdict_cells(RATES)[0].weights
    with pytest.raises(InputError, match=r"a worker could not start: there is no file .*gone.py"):
        list(start(tmp_path / "gone.py").run([cell], RATES))


def test_a_claim_that_changed_under_the_run(laboratory):
    plan = laboratory.plan()
    cell = plan.verdict_cells(RATES)[0].weights
    assert find_cell(plan, request(cell, RATES)) == cell
    changed = replace(cell, steps=11)
    with pytest.raises(CellFailed, match=r"no longer gives the cell .* of arm 'rotary'.*start the run again"):
        find_cell(plan, request(changed, RATES))


def test_every_cell_of_a_plan_is_found_by_its_worker(laboratory):
    plan = laboratory.plan(profile="tuned")
    for cell in with_dependencies(plan.verdict_cells(RATES)):
        assert find_cell(plan, request(cell, RATES)) == cell
    for arm in plan.claim.arms:
        for cell in plan.tuning_cells(arm, {}, (1e-2, 8e-2)):
            assert find_cell(plan, request(cell, {})) == cell


def test_one_gpu_for_each_worker(monkeypatch):
    settings = {"threads": 1, "device": "cuda", "gpus": 2}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [own_variables(settings, k)["CUDA_VISIBLE_DEVICES"] for k in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [own_variables(settings, k)["CUDA_VISIBLE_DEVICES"] for k in range(3)] == ["5", "7", "5"]
    here = own_variables({"threads": 3, "device": "cpu", "gpus": 0}, 1)
    assert here["OMP_NUM_THREADS"] == here["MKL_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in here


def test_a_worker_ends_when_its_stdin_does():
    """An orphan of a killed run stops at once, whatever it is doing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paribus.lab.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    process.stdin.close()
    assert process.wait(timeout=60) == 1
