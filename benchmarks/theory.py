"""min a+b+c with N = ab + c against the published search, and the base bound of RoPE at full length.

Rounds are counted, not timed, so they are the same on every machine. The published search tries all its rounds for
every N; below 10^30 that is 60 million of them, so there it runs on the first two numbers only. One thread.

    python benchmarks/theory.py [--json] [--numbers N] [--longest L] [--repeats R]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TypeVar

import numpy as np

from paribus.core.seed import generator
from paribus.theory import rope_base
from paribus.theory.partition import partition, partition_published

T = TypeVar("T")

# The bound as printed at d = 128, from 1k = 1024 on, doubling (post of 2024-05-29): two digits.
PRINTED = (4.3e3, 1.2e4, 2.7e4, 8.4e4, 2.3e5, 6.3e5, 2.1e6, 4.9e6, 2.4e7, 5.8e7, 6.5e7)


@dataclass(frozen=True)
class Row:
    case: str
    subject: str
    metric: str
    unit: str
    runs: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)


@dataclass(frozen=True)
class Goal:
    case: str
    subject: str
    peer: str
    ratio_median: float
    low: float
    high: float
    goal: str
    met: bool


def numbers(digits: int, count: int) -> list[int]:
    """Uniform below 10^digits."""
    random = generator("benchmark-theory", digits)
    return [int.from_bytes(random.bytes(32), "big") % 10**digits for _ in range(count)]


def timed(call: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def partitions(digits: int, count: int, peers: int) -> Iterator[Row | Goal]:
    """Ours on all numbers, the published search on the first `peers` of them; the goals compare those."""
    case = f"{count} random N below 10^{digits}"
    drawn = numbers(digits, count)
    ours = [timed(lambda n=n: partition(n)) for n in drawn]
    theirs = [timed(lambda n=n: partition_published(n)) for n in drawn[:peers]]
    yield Row(case, "paribus", "rounds", "1", [found.rounds for _, found in ours])
    yield Row(case, "paribus", "time", "s", [seconds for seconds, _ in ours])
    label = "published search" if peers == count else f"published search, first {peers}"
    yield Row(case, label, "rounds", "1", [found.rounds for _, found in theirs])
    yield Row(case, label, "time", "s", [seconds for seconds, _ in theirs])
    equal = sum((a.a, a.b, a.c) == (b.a, b.b, b.c) for (_, a), (_, b) in zip(ours, theirs, strict=False))
    yield Goal(case, "same answers", label, equal / peers, equal / peers, equal / peers, "1", equal == peers)
    if peers < count:
        return
    mine = np.array([found.rounds for _, found in ours], float)
    other = np.array([found.rounds for _, found in theirs], float)
    resample = generator("benchmark-theory-bootstrap").integers(count, size=(2000, count))
    spread = np.quantile(mine[resample].mean(1) / other[resample].mean(1), [0.025, 0.975])
    mean, worst = mine.mean() / other.mean(), mine.max() / other.max()
    yield Goal(case, "rounds, mean", label, mean, float(spread[0]), float(spread[1]), "<= 1/40", mean <= 1 / 40)
    yield Goal(case, "rounds, worst", label, worst, worst, worst, "<= 1/10", worst <= 1 / 10)


def bases(longest: int, repeats: int) -> Iterator[Row | Goal]:
    lengths = [1 << k for k in range(10, 21) if 1 << k <= longest]
    case = f"base bound, d=128, {len(lengths)} lengths from 1k to {lengths[-1] >> 10}k"
    runs = [timed(lambda: rope_base.lower_bounds(lengths, 128)) for _ in range(repeats)]
    for length, printed in zip(lengths, PRINTED, strict=False):
        bound = runs[0][1][length]
        yield Row(f"base bound, d=128, length {length}", "paribus", "base", "1", [bound])
        yield Row(f"base bound, d=128, length {length}", "as printed", "base", "1", [printed])
    agree = sum(
        float(f"{runs[0][1][length]:.1e}") == printed for length, printed in zip(lengths, PRINTED, strict=False)
    )
    share = agree / len(lengths)
    yield Goal(case, "equal to the printed row", "two digits", share, share, share, "1", agree == len(lengths))
    seconds = [one / 60 for one, _ in runs]
    yield Row(case, "paribus", "time", "s", [one for one, _ in runs])
    middle = statistics.median(seconds)
    yield Goal(case, "time", "60 s", middle, min(seconds), max(seconds), "< 1", middle < 1)
    for length in (n for n in lengths if n <= 1 << 17):
        took, start = timed(lambda length=length: rope_base.gap_free(length, 128))
        yield Row(f"gap-free band, d=128, length {length}", "paribus", "base", "1", [start])
        yield Row(f"gap-free band, d=128, length {length}", "paribus", "time", "s", [took])


def one_look(length: int, repeats: int) -> Iterator[Row]:
    """f at all distances for one base: a matrix product of turns, against a cosine a term."""
    theta = rope_base.inverse_frequencies(1e8, 128)
    case = f"f at {length} distances, d=128, float64, one base"

    def direct() -> float:
        parts = range(0, length, 1 << 14)
        return min(float(rope_base.advantage(np.arange(m, min(length, m + (1 << 14))), theta).min()) for m in parts)

    def product() -> float:
        return min(float(values.min()) for _, values in rope_base._scan(theta, length))

    results = {"matrix product": product, "cosines": direct}
    runs: dict[str, list[float]] = {name: [] for name in results}
    for _ in range(repeats):
        for name, call in results.items():
            runs[name].append(timed(call)[0])
    for name in results:
        yield Row(case, name, "time", "s", runs[name])


def report(found: list[Row | Goal], command: str) -> dict[str, object]:
    rows = [item for item in found if isinstance(item, Row)]
    return {
        "schema": "paribus.benchmark/1",
        "name": "theory",
        "command": command,
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} CPUs, CPU time of one thread",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "scipy")},
        "rows": [asdict(row) | {"median": row.median} for row in rows],
        "goals": [asdict(item) for item in found if isinstance(item, Goal)],
    }


def table(found: list[Row | Goal], command: str) -> str:
    """Markdown: the goals, then the medians."""
    versions = f"Python {platform.python_version()}, numpy {version('numpy')}, {platform.machine()}"
    goals = [
        f"| {item.case} | {item.subject} | {item.peer} | {item.ratio_median:.4g} | "
        f"{item.low:.4g} - {item.high:.4g} | {item.goal} | {'met' if item.met else 'missed'} |"
        for item in found
        if isinstance(item, Goal)
    ]
    rows = [
        f"| {item.case} | {item.subject} | {item.metric}{'' if item.unit == '1' else ', ' + item.unit} | "
        f"{len(item.runs)} | {item.median:.6g} | {statistics.fmean(item.runs):.6g} | {max(item.runs):.6g} |"
        for item in found
        if isinstance(item, Row)
    ]
    return "\n".join(
        [
            f"# Theory\n\n`{command}`, {versions}, CPU time of one thread.\n",
            "| case | what | against | ratio | from - to | goal | |\n|---|---|---|---|---|---|---|",
            *goals,
            "\n| case | who | what | runs | median | mean | greatest |\n|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--numbers", type=int, default=200, help="random N of each size")
    parser.add_argument("--longest", type=int, default=1 << 20, help="the longest length of the base bound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--corpus", help="not used: nothing is read")
    given = parser.parse_args()
    command = (
        f"python benchmarks/theory.py --numbers {given.numbers} --longest {given.longest} --repeats {given.repeats}"
    )
    found: list[Row | Goal] = []
    found += partitions(18, given.numbers, given.numbers)
    found += partitions(30, given.numbers, 2)
    found += bases(given.longest, given.repeats)
    found += one_look(given.longest, given.repeats)
    print(json.dumps(report(found, command + " --json"), indent=1) if given.json else table(found, command))
    return 0 if all(item.met for item in found if isinstance(item, Goal)) else 1


if __name__ == "__main__":
    sys.exit(main())
