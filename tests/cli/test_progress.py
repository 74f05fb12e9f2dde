"""The share that is done and the time left, as a run tells them."""

import io
import time

import pytest
from rich.console import Console

import paribus.cli.progress
from paribus.cli.progress import Display, clock
from paribus.lab.estimate import Estimate
from paribus.lab.pace import Standing


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
    """told(steps) -> the lines of a log, for steps (seconds, share done, seconds left)."""

    def told(*steps, seconds=100.0):
        now = 0.0
        monkeypatch.setattr(paribus.cli.progress.time, "monotonic", lambda: now)
        log = io.StringIO()
        cost = Estimate(flops=1000.0, cells=3, seconds=seconds, bytes_per_worker=1, disk_bytes=1)
        with Display(Console(file=log, width=100), cost) as display:
            display.watch.stage("verdict", 3)
            for now, *standing in steps:  # noqa: B007  (read by monotonic)
                if standing:
                    display.watch.progress(Standing(*standing))
                else:
                    display._log()  # as the clock does while no cell has anything to tell
            display.watch.note("a note")
        return log.getvalue().splitlines()

    return told


def test_a_line_every_ten_seconds(told):
    lines = told((1, 0.01, 99), (5, 0.05, 95), (11, 0.1, 99), (15, 0.15, 80), (22, 0.25, 66.4))
    assert lines[0] == "verdict: 3 cells to compute"
    assert lines[1:3] == ["verdict:  10% after 11 s, 1 min 39 s left", "verdict:  25% after 22 s, 1 min 06 s left"]
    assert lines[3] == "a note"


def test_before_anything_is_done_the_plan_speaks(told):
    assert "verdict:   0% after 12 s, 1 min 28 s left" in told((12,))
    assert "verdict:   0% after 12 s" in told((12,), seconds=None)
    assert "verdict:   0% after 12 s" in told((12, 0.0, None))


def test_the_last_cell_is_never_done_before_its_end(told):
    """It tells nothing for minutes: the line comes all the same, and takes on what it took too long."""
    lines = told((10, 0.996, 20), (20,), (30,), (130,), (1210,))
    assert lines[1:6] == [
        "verdict:  99% after 10 s, 20 s left",
        "verdict:  99% after 20 s, 10 s left",
        "verdict:  99% after 30 s, 5 s left",
        "verdict:  99% after 2 min 10 s, 30 s left",
        "verdict:  99% after 20 min 10 s, 5 min 00 s left",
    ]


def test_a_tenth_of_a_second_is_not_nothing(told):
    assert "verdict:  99% after 12 s, 1 s left" in told((12, 0.999, 0.1))


def test_a_log_speaks_while_nothing_is_heard(monkeypatch):
    monkeypatch.setattr(paribus.cli.progress, "LOG_EVERY", 0.001)
    log = io.StringIO()
    cost = Estimate(flops=1.0, cells=3, seconds=100.0, bytes_per_worker=1, disk_bytes=1)
    with Display(Console(file=log, width=100), cost) as display:
        while log.getvalue().count("left") < 3:
            time.sleep(0.001)
    assert display.ended.is_set()
    assert "starting:   0% after 0 s, 1 min 40 s left" in log.getvalue()


def test_on_a_terminal_the_time_runs_down(monkeypatch):
    now = 0.0
    monkeypatch.setattr(paribus.cli.progress.time, "monotonic", lambda: now)
    cost = Estimate(flops=1.0, cells=3, seconds=100.0, bytes_per_worker=1, disk_bytes=1)
    display = Display(Console(file=io.StringIO(), width=100, force_terminal=True), cost)
    column = next(one for one in display.bar.columns if isinstance(one, paribus.cli.progress._Left))
    (task,) = display.bar.tasks
    assert str(column.render(task)) == "1 min 40 s left"
    now = 40.0
    assert str(column.render(task)) == "1 min 00 s left"
    display.watch.progress(Standing(0.5, 8.0))
    assert (str(column.render(task)), task.percentage) == ("8 s left", 50)
    display.bar.update(display.task, completed=100)
    assert str(column.render(task)) == ""
