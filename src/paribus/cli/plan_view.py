"""What `--plan` prints: sizes, cost and power, before anything is spent."""

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paribus.cli.progress import clock
from paribus.lab import power
from paribus.lab.claim import Trained
from paribus.lab.estimate import Estimate
from paribus.lab.plan import Plan
from paribus.lab.predictions import Equivalent, Prediction
from paribus.lab.stack import spelled


def fewest(plan: Plan, prediction: Prediction) -> int:
    """The least number of seeds that could decide a prediction at its share of the 5 %."""
    found = power.fewest_for_equivalence if isinstance(prediction, Equivalent) else power.fewest_seeds
    return found(len(plan.predictions))


def too_few(plan: Plan) -> str:
    """What the plan's seeds cannot decide, and how many could; empty if they can, and in a smoke run, which never does.

    At the level that Holm's adjustment gives at worst: one that follows others which were decided may do with fewer.
    """
    n, k = len(plan.profile.seeds), len(plan.predictions)
    short = {prediction.id: least for prediction in plan.predictions if n < (least := fewest(plan, prediction))}
    if plan.smoke or not short:
        return ""
    unit = "seed" if isinstance(plan.task, Trained) else "replicate"
    level = "at 5 %" if k == 1 else f"at 5 % / {k}, the share of each of {k} predictions"
    most = max(short.values())
    return f"too few {unit}s: {level}, {n} cannot decide {', '.join(short)}; {most} could (--seeds {most})"


def detectable(plan: Plan, prediction: Prediction) -> dict[str, Any]:
    """What the plan's seeds can find for a prediction, and how many its margin needs; in sd where sd is unknown."""
    n, k = len(plan.profile.seeds), len(plan.predictions)
    sd = plan.profile.expected_sd.get(prediction.id)
    unit = sd if sd is not None else 1.0
    margin = getattr(prediction, "margin", None)
    if isinstance(prediction, Equivalent):
        smallest = power.smallest_margin(n, unit, comparisons=k)
    else:
        smallest = power.smallest_effect(n, unit, comparisons=k)
    # For a Greater the border is b, so an effect must be that much larger to be told from it.
    smallest += getattr(prediction, "by", 0.0)
    wanted = margin if margin is not None else getattr(prediction, "by", 0.0)
    needed = None
    if sd is not None and wanted:
        needed = (
            power.seeds_for_equivalence(wanted, sd, comparisons=k)
            if isinstance(prediction, Equivalent)
            else power.seeds_for_effect(wanted, sd, comparisons=k)
        )
    return {
        "id": prediction.id,
        "expected_sd": sd,
        "smallest_detectable": smallest if math.isfinite(smallest) else None,
        "in_units_of_sd": sd is None,
        "margin": margin,
        "seeds_needed_for_margin": needed,
        "fewest_seeds": fewest(plan, prediction),
    }


def plan_json(plan: Plan, cost: Estimate, jobs: int, folder: Path) -> dict[str, Any]:
    trained = isinstance(plan.task, Trained)
    return {
        **plan.described(),
        "digest": plan.digest,
        "folder": str(folder),
        "sizes": {
            name: {
                "n_parameters": sized.n_parameters,
                "flops_per_token": plan.training_flops(plan.claim.arm(name)),
                "causal_flops_per_token": plan.training_flops(plan.claim.arm(name), causal=True),
                "residual": sized.residual,
            }
            for name, sized in plan.sized.items()
        },
        "steps": plan.steps if trained else None,
        "cells": cost.cells,
        "flops": cost.flops if trained else None,
        "measured": {"seconds": cost.seconds, "jobs": jobs},
        "memory_bytes": cost.bytes_per_worker * jobs,
        "disk_bytes": cost.disk_bytes,
        "power": [detectable(plan, prediction) for prediction in plan.predictions],
    }


def plan_table(console: Console, plan: Plan, cost: Estimate, jobs: int, folder: Path) -> None:
    claim = plan.claim
    console.print(
        f"[bold]{plan.name}[/bold] version {claim.version}, profile {plan.profile_name}: {escape(claim.statement)}"
    )
    console.print(f"source: {escape(claim.source)}\n")
    if plan.sized:
        arms = Table("arm", "parameters", "MFLOP/token, training", "causal pairs only", "residual", "weights")
        for arm in claim.arms:
            sized = plan.sized[arm.name]
            origin = f"of {arm.reads}" if arm.reads else f"from {arm.starts_from}" if arm.starts_from else "trained"
            residual = "-" if arm.reads else f"{sized.residual:+.3%}"
            arms.add_row(
                arm.name,
                f"{sized.n_parameters:,}",
                f"{plan.training_flops(arm) / 1e6:.3f}",
                f"{plan.training_flops(arm, causal=True) / 1e6:.3f}",
                residual,
                origin,
            )
        console.print(arms)
    if isinstance(plan.task, Trained):
        rates = ", ".join(f"{rate:g}" for rate in plan.profile.learning_rates)
        searched = (
            f"searched for every arm among {rates} on {len(plan.profile.tuning_seeds)} tuning seeds, "
            f"{plan.tuning_steps} steps each"
            if plan.searched
            else f"{rates}, not searched here"
        )
        console.print(f"matched in: {plan.task.match}   recipe: {plan.recipe(plan.steps).describe()}")
        console.print(
            f"{plan.steps} steps of {plan.tokens_per_step} {plan.counted}, {len(plan.profile.seeds)} seeds; "
            f"rates {searched}"
        )
        if stacks := spelled(plan.profile):
            console.print(f"stacked seeds: {stacks}; each piece trained as one batched model by one worker")
        if plan.profile.trend is not None:
            console.print(f"trend: read after {', '.join(f'{n:,}' for n in plan.budgets)} steps, each with its decay")
        twin = f"twin of {plan.control.name!r}" if plan.control else "not needed: all comparisons read the same weights"
        console.print(f"noise floor (A/A): {twin}")
    time_told = "-" if cost.seconds is None else f"about {clock(cost.seconds)} with {jobs} workers"
    work = f"{cost.flops:.2e}" if isinstance(plan.task, Trained) else "not counted"
    console.print(
        f"cells: {cost.cells}   FLOPs: {work}   time: {time_told}   "
        f"memory: {cost.bytes_per_worker * jobs / 2**30:.1f} GiB   disk: {cost.disk_bytes / 2**20:.0f} MiB"
    )
    console.print(f"run folder: {folder}\n", soft_wrap=True)
    table = Table("prediction", "says", "margin", "smallest detectable", "seeds for the margin")
    for prediction in plan.predictions:
        told = detectable(plan, prediction)
        smallest = told["smallest_detectable"]
        unit = " sd" if told["in_units_of_sd"] else ""
        needed = told["seeds_needed_for_margin"]
        table.add_row(
            prediction.id + (" (primary)" if prediction.id == claim.primary else ""),
            escape(prediction.sentence()),
            "-" if told["margin"] is None else f"{told['margin']:g}",
            "too few seeds" if smallest is None else f"{smallest:.3g}{unit}",
            "sd unknown" if told["in_units_of_sd"] else str(needed or "-"),
        )
    console.print(table)
    if short := too_few(plan):
        console.print(escape(short), style="yellow", soft_wrap=True)
    if plan.profile.note:
        console.print(f"note: {escape(plan.profile.note)}")
