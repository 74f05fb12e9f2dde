"""The time left, from what was computed and not from what was found."""

import io

import pytest
from rich.console import Console

import paribus.cli.progress
from paribus.cli.progress import Display, clock
from paribus.lab.estimate import Estimate


def test_spans_of_time():
    assert [clock(s) for s in (0.4, 59.6, 61, 3600, 7384)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 03 min",
    ]


@pytest.fixture
def told(monkeypatch):
    """told(steps) -> the lines of a log, for steps (seconds, FLOPs done, FLOPs found)."""

    def told(*steps, seconds=100.0):
        now = 0.0
        monkeypatch.setattr(paribus.cli.progress.time, "monotonic", lambda: now)
        log = io.StringIO()
        cost = Estimate(flops=1000.0, cells=3, seconds=seconds, bytes_per_worker=1, disk_bytes=1)
        with Display(Console(file=log, width=100), cost) as display:
            display.watch.stage("verdict", 3)
            for now, done, found in steps:  # noqa: B007  (read by monotonic)
                display.watch.progress(done, found)
            display.watch.note("a note")
        return log.getvalue().splitlines()

    return told


def test_a_line_every_ten_seconds(told):
    lines = told((1, 10, 0), (5, 50, 0), (11, 100, 0), (15, 150, 0), (22, 250, 0))
    assert lines[0] == "verdict: 3 cells to compute"
    assert lines[1:3] == ["verdict:  10% after 11 s, 1 min 39 s left", "verdict:  25% after 22 s, 1 min 06 s left"]
    assert lines[3] == "a note"


def test_what_was_found_is_no_speed(told):
    assert "verdict:  60% after 20 s, 1 min 20 s left" in told((0, 500, 500), (20, 600, 500))


def test_before_anything_is_done_the_plan_speaks(told):
    assert "verdict:   0% after 12 s, 1 min 40 s left" in told((12, 0, 0))
    assert "verdict:   0% after 12 s" in told((12, 0, 0), seconds=None)
