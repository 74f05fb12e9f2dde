"""A finished run with a training that diverged, and what its files say."""

import json

import pytest

from paribus.lab.curves import read_curves
from paribus.lab.folder import CELLS, EVENTS, RESULT


@pytest.fixture
def run(laboratory):
    laboratory.run(laboratory.plan(profile="smoke"), "run")
    return laboratory.root / "run"


@pytest.fixture
def diverged(run):
    """The training whose last event has no loss, as one that diverged."""
    cell = sorted(path.parent for path in (run / CELLS).glob(f"*/{EVENTS}"))[0]
    lines = (cell / EVENTS).read_text().splitlines()
    last = json.loads(lines[-1]) | {"loss": None, "norm": None}
    (cell / EVENTS).write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    return cell.name


@pytest.fixture
def said(run, diverged):
    """(cell, step) -> event, and (cell, metric) -> value, straight from the files."""
    events = {
        (path.parent.name, event["step"]): event
        for path in (run / CELLS).glob(f"*/{EVENTS}")
        for event in map(json.loads, path.read_text().splitlines())
    }
    metrics = {
        (path.parent.name, name): value
        for path in (run / CELLS).glob(f"*/{RESULT}")
        for name, value in json.loads(path.read_text())["metrics"].items()
    }
    return events, metrics


@pytest.fixture
def curves(run, diverged):
    return read_curves(run)
