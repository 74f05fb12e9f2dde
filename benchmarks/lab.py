"""What the laboratory itself costs: its overhead within a cell, and how soon the commands answer.

Overhead: all of a training cell's time that is not forward, backward, optimizer or the dev loss: building the model,
batches, events, hashes, files. The cell is the one of `rerope` at laptop size, one thread. Commands run as whole
processes, import included.

    python benchmarks/lab.py [--json] [--repeats R]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from paribus.lab.cell import Environment
from paribus.lab.claim import Trained
from paribus.lab.load import load
from paribus.lab.plan import make_plan
from paribus.lab.work import do

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


def answers(words: list[str], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([Path(sys.executable).parent / "paribus", *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def row(case: str, metric: str, unit: str, runs: list[float]) -> dict[str, Any]:
    median = statistics.median(runs)
    return {"case": case, "subject": "paribus", "metric": metric, "unit": unit, "runs": runs, "median": median}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = [row("a laptop cell of rerope, 250 steps", "overhead", "% of the cell", overhead(options.repeats))]
    rows += [
        row("paribus " + " ".join(words), "wall clock", "s", answers(words, options.repeats)) for words in COMMANDS
    ]
    limits = [("<= 3", 3.0), *[("<= 0.5", 0.5)] * len(COMMANDS)]
    goals = [
        {
            "case": one["case"],
            "subject": "paribus",
            "peer": "-",
            "ratio_median": one["median"],
            "low": min(one["runs"]),
            "high": max(one["runs"]),
            "goal": told,
            "met": one["median"] <= limit,
        }
        for one, (told, limit) in zip(rows, limits, strict=True)
    ]
    if options.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        result = {
            "schema": "paribus.benchmark/1",
            "name": "lab",
            "command": " ".join(sys.argv),
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": versions,
            "rows": rows,
            "goals": goals,
        }
        print(json.dumps(result, indent=1))
        return
    print("| case | median | range | unit | goal | met |\n|---|---|---|---|---|---|")
    for one, goal in zip(rows, goals, strict=True):
        told = "yes" if goal["met"] else "no"
        print(
            f"| {one['case']}, {one['metric']} | {one['median']:.3g} | {goal['low']:.3g} to {goal['high']:.3g} | "
            f"{one['unit']} | {goal['goal']} | {told} |"
        )


if __name__ == "__main__":
    main()
