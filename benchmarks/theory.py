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
from functools import partial

import numpy as np

from paribus.core.seed import generator
from paribus.theory import rope_base
from paribus.theory.partition import partition, partition_published
from report import Table, at_most, grid, one_thread, timed, times, versions

# The bound as printed at d = 128, from 1k = 1024 on, doubling (post of 2024-05-29): two digits.
PRINTED = (4.3e3, 1.2e4, 2.7e4, 8.4e4, 2.3e5, 6.3e5, 2.1e6, 4.9e6, 2.4e7, 5.8e7, 6.5e7)


def numbers(digits: int, count: int) -> list[int]:
    """Uniform below 10^digits."""
    random = generator("benchmark-theory", digits)
    return [int.from_bytes(random.bytes(32), "big") % 10**digits for _ in range(count)]


def all_of_them(share: float) -> bool:
    return share == 1


def partitions(table: Table, digits: int, count: int, peers: int) -> None:
    """Ours on all numbers, the published search on the first `peers` of them; the goals compare those."""
    case = f"{count} random N below 10^{digits}"
    drawn = numbers(digits, count)
    ours = [timed(partial(partition, n)) for n in drawn]
    theirs = [timed(partial(partition_published, n)) for n in drawn[:peers]]
    label = "published search" if peers == count else f"published search, first {peers}"
    for subject, found in (("paribus", ours), (label, theirs)):
        table.row(case, subject, "rounds", "1", [answer.rounds for _, answer in found])
        table.row(case, subject, "time", "s", [seconds for seconds, _ in found])
    equal = sum((a.a, a.b, a.c) == (b.a, b.b, b.c) for (_, a), (_, b) in zip(ours, theirs, strict=False))
    table.goal(case, label, [equal / peers], "1", all_of_them, subject="same answers")
    if peers < count:
        return
    mine = np.array([found.rounds for _, found in ours], float)
    other = np.array([found.rounds for _, found in theirs], float)
    resample = generator("benchmark-theory-bootstrap").integers(count, size=(2000, count))
    low, high = np.quantile(mine[resample].mean(1) / other[resample].mean(1), [0.025, 0.975])
    mean, worst = float(mine.mean() / other.mean()), float(mine.max() / other.max())
    interval = float(low), float(high)
    table.goal(case, label, [mean], "<= 1/40", at_most(1 / 40), subject="rounds, mean", interval=interval)
    table.goal(case, label, [worst], "<= 1/10", at_most(1 / 10), subject="rounds, worst")


def bases(table: Table, longest: int, repeats: int) -> None:
    lengths = [1 << k for k in range(10, 21) if 1 << k <= longest]
    case = f"base bound, d=128, {len(lengths)} lengths from 1k to {lengths[-1] >> 10}k"
    runs = [timed(lambda: rope_base.lower_bounds(lengths, 128)) for _ in range(repeats)]
    bounds = runs[0][1]
    for length, printed in zip(lengths, PRINTED, strict=False):
        table.row(f"base bound, d=128, length {length}", "paribus", "base", "1", [bounds[length]])
        table.row(f"base bound, d=128, length {length}", "as printed", "base", "1", [printed])
    agree = sum(float(f"{bounds[length]:.1e}") == printed for length, printed in zip(lengths, PRINTED, strict=False))
    table.goal(case, "two digits", [agree / len(lengths)], "1", all_of_them, subject="equal to the printed row")
    seconds = [one for one, _ in runs]
    table.row(case, "paribus", "time", "s", seconds)
    table.goal(case, "60 s", [one / 60 for one in seconds], "< 1", lambda share: share < 1, subject="time")
    for length in (n for n in lengths if n <= 1 << 17):
        took, start = timed(partial(rope_base.gap_free, length, 128))
        table.row(f"gap-free band, d=128, length {length}", "paribus", "base", "1", [start])
        table.row(f"gap-free band, d=128, length {length}", "paribus", "time", "s", [took])


def one_look(table: Table, length: int, repeats: int) -> None:
    """f at all distances for one base: a matrix product of turns, against a cosine a term."""
    theta = rope_base.inverse_frequencies(1e8, 128)
    case = f"f at {length} distances, d=128, float64, one base"

    def direct() -> float:
        parts = range(0, length, 1 << 14)
        return min(float(rope_base.advantage(np.arange(m, min(length, m + (1 << 14))), theta).min()) for m in parts)

    def product() -> float:
        return min(float(values.min()) for _, values in rope_base._scan(theta, length))

    for name, runs in times({"matrix product": product, "cosines": direct}, repeats).items():
        table.row(case, name, "time", "s", runs)


def markdown(table: Table, command: str) -> str:
    """The goals, then the medians."""
    found = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}"
    goals = [
        (
            one["case"],
            one["subject"],
            one["peer"],
            f"{one['ratio_median']:.4g}",
            f"{one['low']:.4g} - {one['high']:.4g}",
            one["goal"],
            "met" if one["met"] else "missed",
        )
        for one in table.goals
    ]
    rows = [
        (
            row["case"],
            row["subject"],
            f"{row['metric']}{'' if row['unit'] == '1' else ', ' + row['unit']}",
            len(row["runs"]),
            f"{row['median']:.6g}",
            f"{statistics.fmean(row['runs']):.6g}",
            f"{max(row['runs']):.6g}",
        )
        for row in table.rows
    ]
    return "\n".join(
        [
            f"# Theory\n\n`{command}`, {found}, CPU time of one thread.\n",
            grid("| case | what | against | ratio | from - to | goal | |", goals),
            "",
            grid("| case | who | what | runs | median | mean | greatest |", rows),
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
    table = Table()
    partitions(table, 18, given.numbers, given.numbers)
    partitions(table, 30, given.numbers, 2)
    bases(table, given.longest, given.repeats)
    one_look(table, given.longest, given.repeats)
    if given.json:
        result = table.result("theory", command + " --json", one_thread(), versions("numpy", "scipy"))
        print(json.dumps(result, indent=1))
    else:
        print(markdown(table, command))
    return 0 if all(one["met"] for one in table.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
