import json
from collections.abc import Callable

import pytest

from paribus.lab.record import Record
from paribus.lab.report.spent import phases, processor_hours

from . import records

Make = Callable[..., Record]


def test_every_cell_is_counted_once(make: Make) -> None:
    record = make(claim=records.two_trained())
    found = {phase.name: phase for phase in phases(record)}
    assert {name: phase.cells for name, phase in found.items()} == {
        "searching rates": 2 * 3 * 2,
        "training": 16,
        "reading": 16,
        "noise floor (A/A)": 16,
    }
    assert found["training"].seconds == pytest.approx(16 * 20.0)
    assert found["noise floor (A/A)"].seconds == pytest.approx(8 * 21.5)
    assert found["searching rates"].seconds is None  # its results are not at hand
    assert found["training"].flops == pytest.approx(sum(c.cell.cost for c in record.trained.values()))


def test_the_search_is_priced_from_its_results(make: Make) -> None:
    record = make(claim=records.two_trained())
    grid = record.plan.profile.learning_rates
    for arm in record.plan.claim.trained_arms():
        for cell in record.plan.tuning_cells(arm, record.rates, grid):
            path = record.folder / "cells" / cell.digest / "result.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"measured": {"seconds": 7.0}}))
    assert phases(record)[0].seconds == pytest.approx(12 * 7.0)


def test_hours_are_those_of_the_processor(make: Make) -> None:
    assert processor_hours(make(seeds=2), 3600.0) == "1 CPU-hours"


def test_a_measured_task_has_one_phase(make: Make) -> None:
    (phase,) = phases(make(claim=records.measured(), seeds=3))
    assert (phase.name, phase.cells, phase.flops) == ("measuring", 9, None)
    assert phase.seconds == pytest.approx(9 * 1.5)
