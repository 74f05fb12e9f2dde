"""A laboratory in this process: plans and runs of the tiny claim beside this file, without worker processes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from paribus.lab.cell import Environment
from paribus.lab.claim import Claim, Trained
from paribus.lab.executors.base import Executor, Finished
from paribus.lab.folder import CELLS, RunFolder
from paribus.lab.load import load
from paribus.lab.plan import Plan, make_plan, plan_json
from paribus.lab.run import Run, Watch
from paribus.lab.stack import compute


class Inline(Executor):
    """Computes the cells one after the other, here; `spoil` may falsify a result on its way."""

    def __init__(self, plan, folder, spoil):
        self.plan, self.folder, self.spoil = plan, folder, spoil
        self.asked = []
        self.stream = plan.task.data.prepare() if isinstance(plan.task, Trained) else None

    def run(self, cells, rates):
        for cell in cells:
            self.asked.append(cell)
            result = compute(cell, self.plan.task, self.stream, self.folder.path / CELLS, lambda done, of: None)
            yield Finished(cell, self.spoil(cell, result))

    def close(self):
        pass


@dataclass
class Laboratory:
    root: Path
    claim: Claim
    tiny: Path

    def plan(self, claim=None, profile="laptop", *, seeds=None, environment=None) -> Plan:
        claim = claim or self.claim
        manifest = claim.task.data.prepare().manifest if isinstance(claim.task, Trained) else {}
        return make_plan(claim, "tiny", profile, environment or Environment.here("cpu", 1), manifest, seeds)

    def run(self, plan, name="run", spoil: Callable = lambda cell, result: result, watch=None, pace=None):
        """(record, the cells that had to be computed)."""
        with RunFolder(self.root / name).opened(plan_json(plan)) as folder:
            executor = Inline(plan, folder, spoil)
            return Run(plan, folder, executor, watch or Watch(), pace).carry_out(), executor.asked


@pytest.fixture(scope="session")
def laboratory_in():
    """A laboratory whose runs lie in a folder."""
    path = Path(__file__).with_name("tiny.py")
    return lambda root: Laboratory(root, load(str(path))[1], path)


@pytest.fixture
def laboratory(laboratory_in, tmp_path):
    return laboratory_in(tmp_path / "runs")
