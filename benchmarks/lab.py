"""What the laboratory itself costs: its overhead within a cell, and how soon the commands answer.

Overhead: all of a training cell's time that is not forward, backward, optimizer or the dev loss: building the model,
batches, events, hashes, files. The cell is the one of `rerope` at laptop size, one thread. Commands run as whole
processes, import included.

    python benchmarks/lab.py [--json] [--repeats R]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from paribus.lab.cell import Environment
from paribus.lab.claim import Trained
from paribus.lab.load import load
from paribus.lab.plan import make_plan
from paribus.lab.work import do
from report import WALL, Table, at_most, grid, machine, spent, versions

COMMANDS = (["--help"], ["claims"], ["check", "--help"])


def overhead(repeats: int) -> list[float]:
    """Share of a training cell's time, for each of several seeds."""
    torch.set_num_threads(1)
    _, claim = load("rerope")
    assert isinstance(claim.task, Trained)
    stream = claim.task.data.prepare()
    plan = make_plan(claim, "rerope", "laptop", Environment.here("cpu", 1), stream.manifest, repeats)
    shares = []
    for read in plan.verdict_cells({"plain": 2e-3})[:: len(claim.arms)][:repeats]:
        assert read.weights is not None
        with tempfile.TemporaryDirectory() as folder:
            result = do(read.weights, claim.task, stream, Path(folder), lambda done, of: None)
        shares.append(100 * result["measured"]["overhead"])
    return shares


def answer(words: list[str]) -> None:
    subprocess.run([Path(sys.executable).parent / "paribus", *words], check=True, capture_output=True)


def measure(table: Table, case: str, metric: str, unit: str, runs: list[float], limit: float) -> None:
    table.row(case, "paribus", metric, unit, runs)
    table.goal(case, "-", runs, f"<= {limit:g}", at_most(limit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = Table()
    measure(table, "a laptop cell of rerope, 250 steps", "overhead", "% of the cell", overhead(options.repeats), 3)
    for words in COMMANDS:
        seconds = [spent(partial(answer, words), WALL) for _ in range(options.repeats)]
        measure(table, "paribus " + " ".join(words), "wall clock", "s", seconds, 0.5)
    if options.json:
        print(json.dumps(table.result("lab", " ".join(sys.argv), machine(), versions("torch")), indent=1))
        return
    lines = [
        (
            f"{row['case']}, {row['metric']}",
            f"{row['median']:.3g}",
            f"{goal['low']:.3g} to {goal['high']:.3g}",
            row["unit"],
            goal["goal"],
            "yes" if goal["met"] else "no",
        )
        for row, goal in zip(table.rows, table.goals, strict=True)
    ]
    print(grid("| case | median | range | unit | goal | met |", lines))


if __name__ == "__main__":
    main()
