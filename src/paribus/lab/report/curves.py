"""Training curves from the events of the cells, averaged over bins of steps and then over seeds."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paribus.lab.events import read_lines
from paribus.lab.folder import CELLS, EVENTS
from paribus.lab.record import Record
from paribus.lab.report.band import Band, band

BINS = 40


@dataclass(frozen=True)
class Course:
    """How one arm trained: FLOPs spent and loss there, with how many runs stand behind every point."""

    index: int
    arm: str
    flops: list[float]
    loss: list[Band]
    runs: int
    diverged: int


def courses(record: Record) -> list[Course]:
    """One course for each trained arm that has events; a diverged run counts until its last finite loss."""
    found = []
    for index, arm in enumerate(record.plan.claim.arms):
        cells = [computed for (name, _), computed in record.trained.items() if name == arm.name]
        runs = [
            [loss for piece in one.cell.pieces for loss in losses(record.folder / CELLS / piece.digest / EVENTS)]
            for one in cells
        ]
        kept = [(computed.cell, run) for computed, run in zip(cells, runs) if run]
        if not kept:
            continue
        steps = max(cell.steps or len(run) for cell, run in kept)
        per_step = max(sum(piece.cost for piece in cell.pieces) for cell, _ in kept) / steps
        flops, points = [], []
        for start, stop in bins(max(len(run) for _, run in kept)):
            means = [math.fsum(run[start:stop]) / (stop - start) for _, run in kept if len(run) >= stop]
            if means:
                flops.append(per_step * math.sqrt((start + 1) * stop))
                points.append(band(means))
        diverged = sum(computed.result["status"] == "diverged" for computed in cells)
        if points:
            found.append(Course(index, arm.name, flops, points, len(kept), diverged))
    return found


def losses(path: Path) -> list[float]:
    """The finite training losses of a run, step by step; nothing where the file is missing or damaged."""
    found: list[float] = []
    for line in read_lines(path):
        try:
            loss = json.loads(line)["loss"]
        except (ValueError, KeyError, TypeError):
            break
        if not isinstance(loss, (int, float)) or not math.isfinite(loss):
            break
        found.append(float(loss))
    return found


def bins(steps: int, most: int = BINS) -> Sequence[tuple[int, int]]:
    """Stretches [start, stop) of steps that grow evenly on a log axis, none empty, together all steps."""
    edges = np.unique(np.rint(np.geomspace(1, steps + 1, most + 1)).astype(int)) - 1
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
