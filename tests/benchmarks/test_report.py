"""What the benchmarks share. They are scripts beside the package, so the module is loaded from its file."""

import importlib.util
import json
import platform
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "report.py"
spec = importlib.util.spec_from_file_location("benchmarks_report", FILE)
assert spec is not None
assert spec.loader is not None
report = importlib.util.module_from_spec(spec)
spec.loader.exec_module(report)


def test_a_goal_that_is_missed_stands_as_missed():
    table = report.Table()
    table.goal("sort", "theirs", [3.0, 1.0, 2.0], ">= 2x", report.at_least(2))
    table.goal("sort", "theirs", [3.0, 1.0, 2.0], "<= 1.9x", report.at_most(1.9))
    assert [one["met"] for one in table.goals] == [True, False]
    assert table.goals[0] == {
        "case": "sort", "subject": "paribus", "peer": "theirs", "ratio_median": 2.0, "low": 1.0, "high": 3.0,
        "goal": ">= 2x", "met": True,
    }  # fmt: skip


def test_an_interval_of_its_own_stands_in_place_of_the_range():
    table = report.Table()
    table.goal("rounds", "theirs", [0.5], "<= 1", report.at_most(1), subject="mean", interval=(0.4, 0.7))
    assert (table.goals[0]["low"], table.goals[0]["high"], table.goals[0]["subject"]) == (0.4, 0.7, "mean")


def test_the_json_of_a_benchmark():
    table = report.Table()
    table.row("sort", "paribus", "time", "s", (4.0, 1.0, 2.0))
    table.goal("sort", "theirs", [2.0], ">= 1x", report.at_least(1))
    told = json.loads(json.dumps(table.result("sorting", "python x.py", "a machine", {"python": "3"})))
    assert list(told) == ["schema", "name", "command", "machine", "versions", "rows", "goals"]
    assert told["schema"] == "paribus.benchmark/1"
    assert told["rows"] == [
        {"case": "sort", "subject": "paribus", "metric": "time", "unit": "s", "runs": [4, 1, 2], "median": 2}
    ]
    assert told["goals"] == table.goals


@pytest.mark.parametrize("aloud", [True, False])
def test_rows_are_told_at_once_where_it_is_asked_for(aloud, capsys):
    report.Table(aloud=aloud).row("sort", "paribus", "time", "s", [0.25])
    assert capsys.readouterr().err == ("sort: paribus: time 0.25 s\n" if aloud else "")


def test_measures_take_turns():
    calls: list[str] = []
    measures = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    assert report.in_turn(measures, 3) == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert calls == list("ababab")


def test_times_are_those_of_the_given_clock():
    now = [0.0]

    def work(seconds):
        now[0] += seconds
        return "done"

    clock = lambda: now[0]  # noqa: E731
    assert report.times({"slow": lambda: work(2.0), "fast": lambda: work(0.5)}, 2, clock) == {
        "slow": [2.0, 2.0],
        "fast": [0.5, 0.5],
    }
    assert report.timed(lambda: work(1.0), clock) == (1.0, "done")


def test_ratios_are_within_rounds_only():
    assert report.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError):
        report.ratios([2.0, 9.0], [1.0])


def test_a_missing_package_is_named_or_left_out():
    assert report.installed("no-such-package") is None
    assert report.versions("pytest", "no-such-package") == {
        "python": platform.python_version(),
        "pytest": pytest.__version__,
    }
    assert report.versions("no-such-package", absent="not installed")["no-such-package"] == "not installed"


def test_a_page_puts_the_goals_first():
    table = report.Table()
    table.row("sort", "paribus", "time", "ms", [2.0, 1.0, 4.0])
    table.goal("sort", "theirs", [0.5, 0.25], "<= 0.3x", report.at_most(0.3))
    told = table.result("sorting", "python x.py", {"cores": 2, "threads": 1}, {"python": "3.11", "torch": "2"})
    assert report.page("Sorting", told, "Notes.\n", ratio="ratio or error").splitlines() == [
        "# Sorting",
        "",
        "`python x.py`",
        "",
        "python 3.11, torch 2; cores 2, threads 1.",
        "",
        "Notes.",
        "",
        "| case | against | ratio or error | from - to | goal | |",
        "|---|---|---|---|---|---|",
        "| sort | theirs | 0.375 | 0.25 - 0.5 | <= 0.3x | missed |",
        "",
        "| case | who | what | median | from - to |",
        "|---|---|---|---|---|",
        "| sort | paribus | time, ms | 2 | 1 - 4 |",
    ]


def test_the_load_is_told_before_and_after(monkeypatch):
    loads = iter([(0.26, 0, 0), (1.94, 0, 0)])
    monkeypatch.setattr(report.os, "getloadavg", lambda: next(loads))
    with report.loaded(2, cpu_time=True) as where:
        assert "load at end" not in where
    assert (where["threads"], where["clock"]) == (2, "CPU")
    assert (where["load at start"], where["load at end"]) == (0.3, 1.9)
