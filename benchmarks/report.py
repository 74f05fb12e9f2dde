"""What all benchmarks share: clocks and rounds, rows and goals, and how these are told, as JSON or in Markdown.

A row holds the runs of one subject in one case. A goal holds the median of some ratios against a bound, and stands as
missed where it is missed. The JSON has the schema `paribus.benchmark/1`.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

JSON = dict[str, Any]
Work = Callable[[], object]
Clock = Callable[[], float]
K = TypeVar("K")
T = TypeVar("T")

CPU: Clock = time.process_time  # of this process: other work on the machine counts little
WALL: Clock = time.perf_counter


def timed(work: Callable[[], T], clock: Clock = CPU) -> tuple[float, T]:
    """Seconds, and what came of it."""
    began = clock()
    value = work()
    return clock() - began, value


def spent(work: Work, clock: Clock = CPU) -> float:
    """Seconds, freeing what came of it included."""
    began = clock()
    work()
    return clock() - began


def in_turn(measures: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """What every measure gives in every round. They take turns, so that all meet the same machine."""
    found: dict[K, list[T]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def times(subjects: Mapping[str, Work], rounds: int, clock: Clock = CPU) -> dict[str, list[float]]:
    """Seconds of every subject in every round."""
    return in_turn({name: lambda work=work: spent(work, clock) for name, work in subjects.items()}, rounds)


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def at_least(bound: float) -> Callable[[float], bool]:
    return lambda ratio: ratio >= bound


def at_most(bound: float) -> Callable[[float], bool]:
    return lambda ratio: ratio <= bound


class Table:
    """Rows and goals, each as it stands in the JSON. aloud: say every row on stderr as soon as it is there."""

    def __init__(self, aloud: bool = False) -> None:
        self.rows: list[JSON] = []
        self.goals: list[JSON] = []
        self.aloud = aloud

    def row(self, case: str, subject: str, metric: str, unit: str, runs: Sequence[float]) -> None:
        row = {"case": case, "subject": subject, "metric": metric, "unit": unit, "runs": list(runs)}
        self.rows.append(row | {"median": statistics.median(runs)})
        if self.aloud:
            sys.stderr.write(f"{case}: {subject}: {metric} {statistics.median(runs):.4g} {unit}\n")

    def goal(
        self,
        case: str,
        peer: str,
        ratios: Sequence[float],
        goal: str | float,
        met: Callable[[float], bool],
        *,
        subject: str = "paribus",
        interval: tuple[float, float] | None = None,
    ) -> None:
        """goal: the bound in words; met: whether the median is within it; interval: instead of least and greatest."""
        middle = statistics.median(ratios)
        low, high = interval or (min(ratios), max(ratios))
        about = {"case": case, "subject": subject, "peer": peer, "ratio_median": middle, "low": low, "high": high}
        self.goals.append(about | {"goal": goal, "met": met(middle)})

    def result(self, name: str, command: str, machine: JSON | str, versions: JSON) -> JSON:
        """The JSON of a benchmark."""
        about = {"schema": "paribus.benchmark/1", "name": name, "command": command, "machine": machine}
        return about | {"versions": versions, "rows": self.rows, "goals": self.goals}


def machine() -> JSON:
    from paribus.lab.run import machine as described

    return {name: value for name, value in described().items() if name in ("processor", "cores")}


@contextmanager
def loaded(threads: int, cpu_time: bool) -> Iterator[JSON]:
    """The machine, with its load before and after what is measured inside."""
    where = machine() | {"threads": threads, "clock": "CPU" if cpu_time else "wall"}
    where["load at start"] = round(os.getloadavg()[0], 1)
    yield where
    where["load at end"] = round(os.getloadavg()[0], 1)


def system() -> str:
    return f"{platform.machine()} {platform.system()}"


def one_thread() -> str:
    """The machine of benchmarks that count the CPU time of one thread."""
    return f"{system()}, {os.cpu_count()} CPUs, CPU time of one thread"


def installed(package: str) -> str | None:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions(*packages: str, absent: str | None = None) -> dict[str, str]:
    """Of Python and the packages. absent: what to say of a package that is not installed; None: nothing."""
    found = {package: installed(package) or absent for package in packages}
    return {"python": platform.python_version()} | {name: number for name, number in found.items() if number}


def listed(told: Mapping[str, object]) -> str:
    """`name value, name value`."""
    return ", ".join(f"{name} {value}" for name, value in told.items())


def grid(header: str, lines: Iterable[Sequence[object]], rule: str = "---") -> str:
    """A Markdown table under its first line."""
    under = f"|{rule}" * (header.count("|") - 1) + "|"
    return "\n".join([header, under, *("| " + " | ".join(map(str, cells)) + " |" for cells in lines)])


def page(title: str, told: JSON, notes: str, ratio: str = "ratio") -> str:
    """A result in Markdown, goals first. ratio: what the ratios of the goals are called."""
    goals = grid(
        f"| case | against | {ratio} | from - to | goal | |",
        [
            (
                one["case"],
                one["peer"],
                f"{one['ratio_median']:.3g}",
                f"{one['low']:.3g} - {one['high']:.3g}",
                one["goal"],
                "met" if one["met"] else "missed",
            )
            for one in told["goals"]
        ],
    )
    rows = grid(
        "| case | who | what | median | from - to |",
        [
            (
                row["case"],
                row["subject"],
                f"{row['metric']}, {row['unit']}",
                f"{row['median']:.4g}",
                f"{min(row['runs']):.4g} - {max(row['runs']):.4g}",
            )
            for row in told["rows"]
        ],
    )
    about = f"{listed(told['versions'])}; {listed(told['machine'])}."
    return f"# {title}\n\n`{told['command']}`\n\n{about}\n\n{notes}\n{goals}\n\n{rows}"
