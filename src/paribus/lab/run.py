"""Carry out a plan: search rates, train, read, check what must be equal, judge, and write it down."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.core.errors import CellFailed
from paribus.lab.cell import Cell
from paribus.lab.claim import Measured
from paribus.lab.executors.base import Again, Executor, Finished, Progress, spell
from paribus.lab.folder import MERGED, VERDICT, RunFolder, made_on, weights_removed
from paribus.lab.pace import Pace, Standing
from paribus.lab.plan import Plan, with_dependencies
from paribus.lab.record import Computed, Record, Tried
from paribus.lab.stack import asked_for
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, judge
from paribus.lab.verdict import twins as differences_of_twins


@dataclass
class Watch:
    """What a run tells while it goes on. `stage` names what begins, and how many of its cells are to be computed."""

    stage: Callable[[str, int], None] = lambda name, cells: None
    progress: Callable[[Standing], None] = lambda standing: None
    note: Callable[[str], None] = lambda text: None


class Run:
    def __init__(
        self, plan: Plan, folder: RunFolder, executor: Executor, watch: Watch, pace: Pace | None = None
    ) -> None:
        self.plan, self.folder, self.executor, self.watch = plan, folder, executor, watch
        self.pace = pace or Pace()
        self.later = plan.expected_cells()  # those of stages that have not begun
        self.all: dict[str, Computed] = {}  # by digest, over all stages
        self.found = 0  # of them, those that were there before this run
        self.edges: list[str] = []  # arms whose best rate is at an end of the grid even so

    def carry_out(self) -> Record:
        began = time.perf_counter()
        plan = self.plan
        rates: dict[str, float] = {}
        tried: list[Tried] = []
        if not isinstance(plan.task, Measured):
            for from_scratch in (True, False):
                arms = [arm for arm in plan.claim.trained_arms() if (arm.starts_from is None) == from_scratch]
                tried += self._search([arm.name for arm in arms], rates)
        cells = plan.verdict_cells(rates)
        self.later = []
        results = self._compute("verdict", cells, rates)
        computed = [Computed(cell, results[cell.digest]) for cell in with_dependencies(cells)]
        pieces = [c for c in computed if c.cell.kind == "train"]
        own = [Computed(cell, results[cell.digest]) for cell in cells]
        read = {(c.cell.arm, c.cell.replicate): c for c in own if c.cell.phase == "verdict"}
        twins = {c.cell.replicate: c for c in own if c.cell.phase == "aa"}
        # What is read at the whole budget: of a run in pieces, the last.
        whole = {c.cell.weights.digest for c in own if c.cell.weights and c.cell.phase != "trend"}
        last = [c for c in pieces if c.cell.digest in whole]
        trained = {(c.cell.arm, c.cell.replicate): c for c in last if c.cell.phase != "aa"}
        check_equal_things(plan, trained, {c.cell.replicate: c for c in last if _is_twin_training(c.cell)})
        check_equal_pieces(c for c in pieces if c.cell.digest not in whole)
        by_arm = {
            arm.name: {seed: dict(read[arm.name, seed].result["metrics"]) for seed in plan.profile.seeds}
            for arm in plan.claim.arms
        }
        measures = self._measures()
        noise = self._noise(by_arm, twins, measures)
        verdict = judge(plan.predictions, plan.claim.primary, by_arm, measures, noise, smoke=plan.smoke)
        return Record(
            plan=plan,
            folder=self.folder.path,
            rates=rates,
            tried=tuple(tried),
            edges=tuple(self.edges),
            trained=trained,
            read=read,
            results=by_arm,
            noise=noise,
            verdict=verdict,
            measured=self._measured(began),
            twins=twins,
            trend={
                n: {(cell.arm, cell.replicate): Computed(cell, results[cell.digest]) for cell in some}
                for n, some in ([] if isinstance(plan.task, Measured) else plan.trend_cells(rates))
            },
        )

    def _search(self, arms: Sequence[str], rates: dict[str, float]) -> list[Tried]:
        """Choose a rate for each arm by mean dev loss over the tuning seeds; every try is returned."""
        plan = self.plan
        if not arms:
            return []
        if not plan.searched:
            rates.update(dict.fromkeys(arms, plan.profile.learning_rates[0]))
            return []
        grid = sorted(plan.profile.learning_rates)
        tried = self._try(arms, rates, grid)
        best = best_rates(tried)
        for _ in range(plan.profile.grid_extensions):
            further = beyond(grid, best.values())
            if not further:
                break
            grid = sorted(grid + further)
            tried += self._try(arms, rates, further)
            best = best_rates(tried)
        rates.update(best)
        self.edges += [name for name in arms if best[name] in (grid[0], grid[-1])]
        return tried

    def _try(self, arms: Sequence[str], rates: Mapping[str, float], grid: Sequence[float]) -> list[Tried]:
        """Train every arm at every rate of the grid, on the tuning seeds."""
        cells = [cell for name in arms for cell in self.plan.tuning_cells(self.plan.claim.arm(name), rates, grid)]
        self.later = [cell for cell in self.later if cell.phase != "tune" or cell.arm not in arms]
        results = self._compute("learning rates", cells, rates)
        return [
            Tried(
                arm=cell.arm,
                learning_rate=float(cell.learning_rate or 0.0),
                seed=cell.replicate,
                dev_loss=results[cell.digest]["metrics"]["dev_loss"],
                diverged=results[cell.digest]["status"] == "diverged",
            )
            for cell in cells
        ]

    def _compute(self, stage: str, cells: Sequence[Cell], rates: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """The results of the cells and all that they need, from files where there are any."""
        wanted = with_dependencies(list(cells))
        results = {cell.digest: found for cell in wanted if (found := self.folder.result(cell)) is not None}
        for cell in reversed(wanted):  # what is needed stands first, so whoever needs it is looked at before it
            needs = cell.weights if cell.digest not in results else None
            if needs is not None and weights_removed(self.folder.cell(needs)):
                results.pop(needs.digest, None)
        missing = [cell for cell in wanted if cell.digest not in results]
        self.watch.stage(stage, len(missing))
        for cell in wanted:
            if cell.digest in results:
                self._learn(cell, results[cell.digest], here=False)
        self.found += len(results.keys() - self.all.keys())
        shares: dict[str, float] = {}  # of cells at work, what is done
        self.watch.progress(self._standing(wanted, results, shares))
        for event in self.executor.run(asked_for(missing), rates):
            match event:
                case Progress(cell, done, of):
                    for one in cell.stacked:
                        shares[one.digest] = done / of
                        self.pace.at_work(one, done / of, time.monotonic())
                case Again(cell, why):
                    for one in cell.stacked:
                        self.pace.again(one)
                    self.watch.note(f"{spell(cell)}: its worker was lost, and it is tried again: {why}")
                case Finished(cell, result):
                    for one in [one for one in cell.stacked if one.digest not in results]:
                        own = result if one.digest == cell.digest else self.folder.result(one)
                        assert own is not None  # a stack is told of when all of it is written
                        results[one.digest] = own
                        self._learn(one, own, here=True)
                        if own["status"] == "diverged":
                            self.watch.note(f"{one.arm}, seed {one.replicate}: diverged, counted as the worst value")
            self.watch.progress(self._standing(wanted, results, shares))
        anew = {cell.digest for cell in missing}
        stale = [cell for cell in wanted if cell.digest not in anew and _is_stale(cell, anew, results)]
        for cell in stale:
            self.folder.discard(cell)
        kept = results.keys() - {cell.digest for cell in stale}
        self.all |= {cell.digest: Computed(cell, results[cell.digest]) for cell in wanted if cell.digest in kept}
        if stale:
            self.found -= len(stale)
            return self._compute(stage, cells, rates)
        return results

    def _learn(self, cell: Cell, result: Mapping[str, Any], here: bool) -> None:
        """Take the seconds of a cell for those that are like it; one that diverged ended early, and says nothing."""
        told = result["measured"]
        if result["status"] == "finished" and (here or told.get("host") == platform.node()):
            self.pace.finished(cell, told["seconds"])

    def _standing(self, wanted: Sequence[Cell], results: Mapping[str, Any], shares: Mapping[str, float]) -> Standing:
        """Where the whole run stands: the stages before this one, this one, and those to come."""
        done = {**self.all, **{cell.digest: Computed(cell, {}) for cell in wanted if cell.digest in results}}
        remaining = [(cell, shares.get(cell.digest, 0.0)) for cell in wanted if cell.digest not in results]
        remaining += [(cell, 0.0) for cell in self.later if cell.digest not in done]
        return self.pace.standing((computed.cell for computed in done.values()), remaining)

    def _measures(self) -> dict[str, Measure]:
        task = self.plan.task
        if isinstance(task, Measured):
            return {name: Measure(unit, name in task.lower_is_better) for name, unit in task.units.items()}
        metric = task.metric
        return {name: Measure(metric.unit(name), metric.lower_is_better(name)) for name in metric.names()}

    def _noise(
        self,
        results: Mapping[str, Mapping[int, Mapping[str, float]]],
        twins: Mapping[int, Computed],
        measures: Mapping[str, Measure],
    ) -> dict[str, Paired]:
        """A/A differences for the predictions that compare weights trained apart."""
        control = self.plan.control
        if control is None:
            return {}
        noise = {}
        for prediction in self.plan.predictions:
            if self.plan.trained_apart(prediction):
                read = {seed: twin.result["metrics"] for seed, twin in sorted(twins.items())}
                noise[prediction.id] = differences_of_twins(prediction, results[control.name], read, measures)
        return noise

    def _measured(self, began: float) -> dict[str, Any]:
        """What the run cost, the search of rates included."""
        told = [computed.result["measured"] for computed in self.all.values()]
        overheads = [one["overhead"] for one in told if "overhead" in one]
        return {
            "seconds": time.perf_counter() - began,
            "cell_seconds": sum(one["seconds"] for one in told),
            "cells_computed": len(self.all) - self.found,
            "cells_found": self.found,
            "overhead": statistics.median(overheads) if overheads else None,
            "flops": sum(computed.cell.cost for computed in self.all.values()),
            "largest_worker_bytes": max(one.get("worker_bytes", 0) for one in told),
            "programs": programs_of(self.all.values()),
            "machine": machine(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "test_openings": openings(self.folder.path),
        }


def programs_of(computed: Iterable[Computed]) -> list[dict[str, Any]]:
    """What attention was computed by, and why: an entry for each kind of cell, shape and reason, with its arms."""
    found: dict[tuple[str, str, str], list[Cell]] = {}
    for one in computed:
        for shape, reasons in one.result["measured"].get("programs", {}).items():
            for why in reasons:
                found.setdefault((one.cell.kind, shape, why), []).append(one.cell)
    return [
        {"kind": kind, "shape": shape, "why": why, "arms": sorted({cell.arm for cell in cells}), "cells": len(cells)}
        for (kind, shape, why), cells in sorted(found.items(), key=lambda one: (one[0][0] != "train", one[0]))
    ]


def _is_stale(cell: Cell, anew: Set[str], results: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether weights were trained anew under a result that was there, and are not known to have the same bits."""
    needs = cell.weights
    return needs is not None and needs.digest in anew and not made_on(results[cell.digest], results[needs.digest])


def _is_twin_training(cell: Cell) -> bool:
    return cell.kind == "train" and cell.phase == "aa"


def best_rates(tried: Sequence[Tried]) -> dict[str, float]:
    """Arm -> the rate with the lowest mean dev loss over the tuning seeds; of equal ones the smaller."""
    losses: dict[tuple[str, float], list[float]] = {}
    for one in tried:
        losses.setdefault((one.arm, one.learning_rate), []).append(one.dev_loss)
    ranked = sorted((arm, statistics.fmean(values), rate) for (arm, rate), values in losses.items())
    best: dict[str, float] = {}
    for arm, _, rate in ranked:
        best.setdefault(arm, rate)
    return best


def beyond(grid: Sequence[float], best: Iterable[float]) -> list[float]:
    """The rates by which a sorted grid goes on, in its own ratio, at each end where some arm has its best rate."""
    chosen = set(best)
    below = [grid[0] * grid[0] / grid[1]] if grid[0] in chosen else []
    above = [grid[-1] * grid[-1] / grid[-2]] if grid[-1] in chosen else []
    return below + above


def check_equal_things(plan: Plan, trained: Mapping[tuple[str, int], Computed], twins: Mapping[int, Computed]) -> None:
    """The invariants of a fair trial: at every seed, equal data order, and equal starts of what the arms share."""
    for seed in plan.profile.seeds:
        runs = [c for (_, at), c in trained.items() if at == seed]
        runs += [twin for at, twin in twins.items() if at == seed]
        orders = {c.result["order"]: c.cell.arm for c in runs if c.result["status"] == "finished"}
        if len(orders) > 1:
            raise CellFailed(
                f"seed {seed}: the arms {', '.join(sorted(orders.values()))} did not read the same bytes in the same "
                "order; no verdict can come of it. Delete the run folder and run again; if it stays so, it is a bug"
            )
        shared: dict[str, str] = {}
        for run in runs:
            if run.cell.weights is not None:
                continue
            for name, bits in run.result["initial"].items():
                if shared.setdefault(name, bits) != bits:
                    raise CellFailed(
                        f"seed {seed}: arm {run.cell.arm!r} starts with other numbers in {name!r} than another arm: "
                        "parameters of equal name, shape and law must be drawn by (seed, name)"
                    )


def check_equal_pieces(pieces: Iterable[Computed]) -> None:
    """Equal data order in every other piece of the runs of one seed: see lab/trend.py."""
    orders: dict[tuple[int, int, int | None], str] = {}
    for piece in pieces:
        cell = piece.cell
        if piece.result["status"] == "finished":
            order = orders.setdefault((cell.replicate, cell.first, cell.steps), piece.result["order"])
            if order != piece.result["order"]:
                raise CellFailed(
                    f"seed {cell.replicate}: arm {cell.arm!r} did not read the bytes of the other arms in their order "
                    f"between the steps {cell.first} and {cell.steps}. Delete the run folder and run again; if it "
                    "stays so, it is a bug"
                )


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    import psutil
    import torch

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def openings(folder: Path) -> int:
    """How often a verdict was read off the test split: in this folder, and in those that were merged into it."""
    try:
        told = json.loads((folder / VERDICT).read_text(encoding="utf-8"))
        return int(told["measured"]["test_openings"]) + 1
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        merged = json.loads((folder / MERGED).read_text(encoding="utf-8"))
        return sum(int(one["test_openings"]) for one in merged["from"]) + 1
    except (OSError, ValueError, KeyError, TypeError):
        return 1
