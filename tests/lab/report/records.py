"""Synthetic records: what a run could have come to, without a run."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from paribus.attention.scales.key_norm import KeyNorm
from paribus.claims.positions.rerope import claim as rerope
from paribus.core.seed import generator
from paribus.lab.cell import Environment
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.factorial import two_by_two
from paribus.lab.plan import Plan, make_plan, with_dependencies
from paribus.lab.predictions import Equivalent, Greater
from paribus.lab.record import Computed, Record, Tried
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, judge
from paribus.layers.activations.gelu import GELU

MANIFEST = {
    "schema": "paribus.corpus/1",
    "corpus": {"part": "PythonStdlib"},
    "python": "3.11.7",
    "digest": "4010ab335dcc6f0bccb17101ed3d59507e8c9745d28b34845fca0e7d61871991",
    "splits": {
        name: {"documents": 10 * (3 - i), "bytes": 10_000_000 // 10**i, "sha256": f"{i}" * 64}
        for i, name in enumerate(("train", "dev", "test"))
    },
    "zlib_bits_per_byte": 1.8013,
}
HERE = Environment(torch="2.13.0", device="cpu", threads=1)
SLOPES = {"plain": 0.09, "interpolation": 0.05, "ntk-aware": 0.03, "rerope": 0.008}

Values = Callable[[Plan, str, int], dict[str, float]]


def plausible(plan: Plan, arm: str, seed: int) -> dict[str, float]:
    """Losses that grow with length and accuracies that fall, most of the noise shared by the arms of a seed."""
    shared, own = generator("seed", seed), generator("arm", arm, seed)
    base = shared.normal(0, 0.02)
    found = {}
    if isinstance(plan.task, Measured):
        return {name: 1.0 + 0.1 * len(arm) + base + own.normal(0, 0.01) for name in plan.task.units}
    start = 0.35 if arm == "interpolation" else 0.0
    for name in plan.task.metric.names():
        kind, _, length = name.partition("@")
        gone = start + SLOPES.get(arm, 0.02) * math.log2(int(length) / 64) + base + own.normal(0, 0.004)
        found[name] = 1.9 + 2 * gone if kind == "loss" else round(4096 * (0.5 - 0.35 * gone)) / 4096
    return found


def make_record(
    folder: Path,
    claim: Claim = rerope,
    profile: str = "laptop",
    seeds: int = 8,
    values: Values = plausible,
    diverged: frozenset[tuple[str, int]] = frozenset(),
    edges: tuple[str, ...] = (),
    events: bool = True,
    name: str = "rerope",
    manifest: Mapping[str, Any] = MANIFEST,
) -> Record:
    """A record of a finished run of the claim, with the files of its cells under the folder."""
    plan = make_plan(claim, name, profile, HERE, {} if isinstance(claim.task, Measured) else manifest, seeds)
    rates = {} if isinstance(claim.task, Measured) else {arm.name: 2e-3 for arm in claim.trained_arms()}
    results = {arm.name: {s: values(plan, arm.name, s) for s in plan.profile.seeds} for arm in claim.arms}
    trained, read = {}, {}
    for cell in with_dependencies(plan.verdict_cells(rates)):
        gone = (claim.weights_of(claim.arm(cell.arm)), cell.replicate) in diverged
        told: dict[str, Any] = {"digest": cell.digest, "status": "diverged" if gone else "finished"}
        told["measured"] = {"seconds": 20.0 if cell.kind == "train" else 1.5}
        if cell.kind == "train":
            told["metrics"] = {"dev_loss": 1.85, "train_loss": 1.8}
        else:
            told["metrics"] = results[cell.arm][cell.replicate]
        where = folder / "cells" / cell.digest
        where.mkdir(parents=True, exist_ok=True)
        (where / "result.json").write_text(json.dumps(told))
        if cell.phase == "aa":
            continue
        if cell.kind == "train":
            trained[cell.arm, cell.replicate] = Computed(cell, told)
            if events:
                write_events(where / "events.jsonl", cell.steps or 1, cell.arm, cell.replicate, gone)
        else:
            read[cell.arm, cell.replicate] = Computed(cell, told)
    units = measures(claim)
    noise = {}
    if plan.control is not None:
        drawn = generator("noise")
        noise = {
            p.id: Paired(tuple(drawn.normal(0, 0.002, len(plan.profile.seeds))))
            for p in plan.predictions
            if plan.trained_apart(p)
        }
    verdict = judge(plan.predictions, claim.primary, results, units, noise, smoke=plan.smoke)
    return Record(
        plan=plan,
        folder=folder,
        rates=rates,
        tried=tried(plan),
        edges=edges,
        trained=trained,
        read=read,
        results=results,
        noise=noise,
        verdict=verdict,
        measured={
            "seconds": 214.0,
            "cell_seconds": 400.0,
            "cells_computed": len(trained) + len(read),
            "cells_found": 0,
            "overhead": 0.012,
            "flops": 1e14,
            "largest_worker_bytes": 610 * 2**20,
            "machine": {"processor": "a processor", "cores": 2, "memory_gib": 23.4, "python": "3.11.7"},
            "finished": "2026-11-22T06:00:00Z",
            "test_openings": 1,
        },
    )


def measures(claim: Claim) -> dict[str, Measure]:
    task = claim.task
    if isinstance(task, Measured):
        return {name: Measure(unit, name in task.lower_is_better) for name, unit in task.units.items()}
    return {name: Measure(task.metric.unit(name), task.metric.lower_is_better(name)) for name in task.metric.names()}


def tried(plan: Plan) -> tuple[Tried, ...]:
    if isinstance(plan.task, Measured) or not plan.searched:
        return ()
    return tuple(
        Tried(arm.name, rate, seed, 2.2 + 0.08 * math.log2(rate / 2e-3) ** 2 + 0.01 * place + 0.004 * (seed % 7), False)
        for place, arm in enumerate(plan.claim.trained_arms())
        for rate in plan.profile.learning_rates
        for seed in plan.profile.tuning_seeds
    )


def write_events(path: Path, steps: int, arm: str, seed: int, gone: bool) -> None:
    random = generator("events", arm, seed)
    loss = 1.55 + 4.0 * (1 + np.arange(steps)) ** -0.45 + random.normal(0, 0.06, steps)
    loss = loss * (1 + random.normal(0, 0.01) + 0.01 * len(arm))
    lines = [{"step": k, "loss": float(value), "norm": 1.0, "rate": 1e-3, "batch": ""} for k, value in enumerate(loss)]
    if gone:
        lines = [*lines[: steps // 2], {"step": steps // 2, "loss": None, "norm": None, "rate": 1e-3, "batch": ""}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def two_trained(margin: float = 0.01) -> Claim:
    """Two arms trained apart, so that sizes are matched and an A/A twin is read."""
    plain = rerope.arm("plain").config
    other = replace(plain, feed_forward=replace(plain.feed_forward, activation=GELU()))
    predicts = [
        Greater(
            "squared", "plain", than="gelu", metric="loss@64", provenance="blind", dated="2026-11-22", margin=margin
        ),
        Equivalent("same", "plain", than="gelu", metric="loss@512", provenance="blind", dated="2026-11-22", margin=0.2),
    ]
    arms = [Arm("plain", plain), Arm("gelu", other)]
    return replace(
        rerope, arms=arms, predicts=predicts, primary="squared", title="Which activation", profiles=profiles()
    )


def square() -> Claim:
    """Two changes of one model: an interaction and a main effect."""
    plain = rerope.arm("plain")
    four = two_by_two(
        plain,
        ("gelu", lambda c: replace(c, feed_forward=replace(c.feed_forward, activation=GELU()))),
        ("key-norm", lambda c: c.with_mixer(scale=KeyNorm())),
    )
    told: dict[str, Any] = {"provenance": "blind", "dated": "2026-11-22", "margin": 0.05}
    predicts = [
        Greater("synergy", four.both, than=four.added, metric="loss@64", **told),
        Greater("key-norm", four.with_second, than=four.without_second, metric="accuracy@512", **told),
        Equivalent("add-up", four.both, than=four.added, metric="accuracy@64", **told),
    ]
    return replace(
        rerope, arms=four.arms, predicts=predicts, primary="synergy", title="Do the two add up", profiles=profiles()
    )


def profiles() -> dict[str, Profile]:
    return {name: replace(p, expected_sd={}, margins={}) for name, p in rerope.profiles.items()}


def _measure(config: Any, replicate: int) -> dict[str, float]:
    return {}


def measured() -> Claim:
    """Nothing is trained, and no metric has a length."""
    return Claim(
        title="Which is faster",
        statement="The fused form is faster and as exact.",
        source="none",
        arms=[Arm("fused", 1), Arm("plain", 2), Arm("materialised", 3)],
        task=Measured(
            measure=_measure,
            unit="document",
            units={"seconds": "s", "error": "nats per token", "share": "share of pages"},
            lower_is_better=("seconds", "error"),
        ),
        profiles={"laptop": Profile(seeds=(0, 1, 2))},
        primary="faster",
        predicts=[
            Greater("faster", "fused", than="plain", metric="seconds", provenance="blind", dated="2026-11-22"),
            Equivalent(
                "exact", "fused", than="plain", metric="share", margin=0.3, provenance="blind", dated="2026-11-22"
            ),
        ],
    )
