import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.lab.record import Record
from paribus.lab.report.curves import bins, courses, losses


@pytest.mark.parametrize("steps", [1, 2, 7, 39, 250, 15_001])
def test_bins_cover_every_step_once(steps: int) -> None:
    found = list(bins(steps))
    assert found[0][0] == 0
    assert found[-1][1] == steps
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    assert all(start < stop for start, stop in found)
    assert len(found) <= 40


def test_a_run_is_read_as_far_as_it_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert losses(path) == []
    path.write_text('{"step": 0, "loss": 2.5}\n{"step": 1, "loss": 2}\n{"step": 2, "loss": null}\n{"loss": 1.0}\n')
    assert losses(path) == [2.5, 2.0]
    path.write_text('{"step": 0, "loss": 2.5}\n{"st\n{"step": 2, "loss": 1.0}\n')
    assert losses(path) == [2.5]
    path.write_text('{"step": 0, "loss": 2.5}\n[1]\n{"step": 1, "loss": 1.0')
    assert losses(path) == [2.5]


def test_a_course_ends_at_the_cost_of_its_training(make: Callable[..., Record]) -> None:
    record = make(seeds=2)
    (course,) = courses(record)
    cell = record.trained["plain", 0].cell
    assert course.arm == "plain"
    assert course.runs == 2
    assert course.flops == sorted(course.flops)
    assert 0.9 * cell.cost < course.flops[-1] <= cell.cost
    assert course.loss[0].mean > course.loss[-1].mean
    assert all(b.low <= b.mean <= b.high for b in course.loss)


def test_a_diverged_run_counts_until_it_ends(make: Callable[..., Record]) -> None:
    (course,) = courses(make(seeds=2, diverged=frozenset({("plain", 1)})))
    assert course.diverged == 1
    assert course.loss[-1].low == course.loss[-1].high  # one run is left
    assert course.loss[3].low < course.loss[3].high
