"""What every executor of a cluster is held against: the same grid as in this process, and workers that are lost."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paribus.lab.executors.base import Finished
from paribus.lab.folder import CELLS, PLAN, RunFolder
from paribus.lab.load import load
from paribus.lab.plan import plan_json, with_dependencies

# A measure that loses its worker as often as its arm says, and leaves a mark each time.
LOSSES = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.load import load

def measure(config, replicate):
    marks = Path(config["marks"])
    with open(marks, "a") as file:
        file.write("x")
    match config["does"]:
        case "raises":
            raise ValueError("no such luck")
        case "waits":
            signal.pause()
        case "hangs" if marks.stat().st_size <= config["losses"]:
            signal.pause()
        case "hangs":
            return {"x": float(replicate)}
    if marks.stat().st_size <= config["losses"]:
        sys.stderr.write("last words of a worker\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), getattr(signal, config["does"]))
    return {"x": float(replicate)}

tiny = load(%r)[1]
def arm(name, does, losses=0):
    return Arm(name, {"does": does, "losses": losses, "marks": %r + "/" + name})
claim = replace(
    tiny,
    arms=[
        arm("works", "SIGKILL"),
        arm("once", "SIGKILL", 1),
        arm("always", "SIGKILL", 99),
        arm("preempted", "SIGUSR2", 1),
        arm("raises", "raises"),
        arm("waits", "waits"),
        arm("hangs once", "hangs", 1),
        arm("hangs", "hangs", 99),
    ],
    task=Measured(measure=measure, unit="draw", units={"x": "1"}),
    profiles={"laptop": Profile(seeds=(0,))},
    predicts=[replace(tiny.predicts[0], arm="works", than="once", metric="x")],
)
"""


def finished(events):
    """Those of the events that bring a result."""
    return [event for event in events if isinstance(event, Finished)]


@pytest.fixture
def settings_of():
    def settings_of(claim, folder, profile="laptop"):
        return {
            "claim": str(claim),
            "profile": profile,
            "seeds": None,
            "threads": 1,
            "device": "cpu",
            "folder": str(folder),
            "data": None,
            "checkpoint_seconds": 20.0,
            "gpus": 0,
        }

    return settings_of


@pytest.fixture
def losses(laboratory, tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(LOSSES % (str(laboratory.tiny), str(tmp_path)))
    plan = laboratory.plan(load(str(path))[1])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / PLAN).write_text(plan_json(plan))
    return path, {cell.arm: cell for cell in plan.verdict_cells({})}


@dataclass
class Grid:
    """Cells of the tiny claim, to be computed by an executor and compared with those of this process."""

    laboratory: object
    settings: dict
    plan: object
    rates: dict
    only: tuple = ()  # (kind, arm, seed) of the cells to compute, all if there are none
    events: list = field(default_factory=list)

    @property
    def cells(self):
        cells = with_dependencies(self.plan.verdict_cells(self.rates))
        if not self.only:
            return cells
        return [one for one in cells if one.phase != "aa" and (one.kind, one.arm, one.replicate) in self.only]

    def run(self, make):
        """Run with the executor that make(settings) gives, and check everything."""
        folder = Path(self.settings["folder"])
        with RunFolder(folder).opened(plan_json(self.plan)):
            executor = make(self.settings)
            try:
                self.events = list(executor.run(self.cells, self.rates))
            finally:
                executor.close()
        self._check_order()
        self.laboratory.run(self.plan, "here")
        self._check_bits(folder / CELLS, self.laboratory.root / "here" / CELLS)

    def _check_order(self):
        results = finished(self.events)
        assert {event.cell.digest for event in results} == {cell.digest for cell in self.cells}
        assert len(results) == len(self.cells)
        done = set()
        for event in results:
            assert event.cell.weights is None or event.cell.weights.digest in done
            done.add(event.cell.digest)

    def _check_bits(self, ours, theirs):
        for cell in self.cells:
            for name in ("events.jsonl", "weights.safetensors"):
                if cell.kind == "train":
                    assert (ours / cell.digest / name).read_bytes() == (theirs / cell.digest / name).read_bytes()
            one, other = (json.loads((folder / cell.digest / "result.json").read_text()) for folder in (ours, theirs))
            assert {**one, "measured": 0} == {**other, "measured": 0}


@pytest.fixture
def rates():
    return {"rotary": 1e-2, "none": 1e-2}


@pytest.fixture
def grid(laboratory, settings_of, rates, tmp_path):
    plan = laboratory.plan(profile="smoke")
    return Grid(laboratory, settings_of(laboratory.tiny, tmp_path / "run", "smoke"), plan, rates)
