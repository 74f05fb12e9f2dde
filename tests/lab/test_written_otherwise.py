"""An arm may read the task's rows written in another way: of equal content, in the same order."""

from dataclasses import replace

import pytest

from paribus.core.errors import ConfigError
from paribus.data.synthetic.copy_task import Copy
from paribus.data.synthetic.patch_above import PatchAbove
from paribus.evaluation.grid_widths import GridWidths
from paribus.lab.cell import Environment
from paribus.lab.claim import Arm, Budget, Claim, Measured, Profile, Trained
from paribus.lab.load import load
from paribus.lab.plan import make_plan
from paribus.lab.work import do
from paribus.training.recipe import Recipe


@pytest.fixture(scope="module")
def claim() -> Claim:
    """The claim rope-tie with two of its arms, a little shorter."""
    _, whole = load("rope-tie")
    task = replace(whole.task, metric=GridWidths(unseen=(6,), length=32, windows=4), recipe=Recipe(batch=2))
    return replace(
        whole,
        arms=[whole.arm("flat"), whole.arm("separated")],
        task=task,
        profiles={"smoke": Profile(budget=Budget(tokens=2 * 64), seeds=range(2), learning_rates=(1e-2,))},
        predicts=[replace(whole.predicts[0], arm="separated")],
    )


def test_cells_read_the_same_rows(claim, tmp_path):
    plan = make_plan(claim, "written", "smoke", Environment.here("cpu", 1), claim.task.data.prepare().manifest)
    read = {}
    for cell in plan.verdict_cells({"flat": 1e-2, "separated": 1e-2}):
        if cell.phase == "verdict" and cell.replicate == 0:
            data = claim.data_of(claim.arm(cell.arm))
            trained = do(cell.weights, claim.task, data.open(None), tmp_path, lambda *_: None)
            windows = do(cell, claim.task, data.open(None), tmp_path, lambda *_: None)["windows"]
            read[cell.arm] = trained["order"], windows, trained["metrics"]["train_loss"], cell.weights.digest
    flat, separated = read["flat"], read["separated"]
    assert flat[:2] == separated[:2]
    assert flat[2] != separated[2]
    assert flat[3] != separated[3]


def nothing(config, replicate):
    return {}


def test_other_rows_are_refused(claim):
    arm = claim.arm("separated")
    for other in (PatchAbove(widths=(3, 4), separators=True), Copy(vocab_size=8)):
        with pytest.raises(ConfigError, match="without a span all arms read the same rows"):
            replace(claim, arms=[claim.arm("flat"), replace(arm, data=other)])
    with pytest.raises(ConfigError, match="belong to a task with a span"):
        replace(claim, arms=[claim.arm("flat"), replace(arm, length=32)])
    measured = Measured(measure=nothing, unit="a draw", units={"accuracy@unseen": "share"})
    with pytest.raises(ConfigError, match="data alone to any other that is trained"):
        replace(claim, task=measured)
    assert isinstance(claim.task, Trained)
    assert isinstance(claim.arm("flat"), Arm)
