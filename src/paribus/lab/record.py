"""What a run came to, gathered from its files: the one thing that verdict.json and the report are written from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from paribus.lab.along import Point, points
from paribus.lab.cell import Cell
from paribus.lab.claim import Trained
from paribus.lab.plan import Plan
from paribus.lab.ranking import Ranking, rankings
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, Results, Verdict


@dataclass(frozen=True)
class Tried:
    """One training of the rate search."""

    arm: str
    learning_rate: float
    seed: int
    dev_loss: float
    diverged: bool


@dataclass(frozen=True)
class Computed:
    """A cell of the verdict stage with its result."""

    cell: Cell
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    plan: Plan
    folder: Path
    rates: Mapping[str, float]  # chosen for each trained arm
    tried: tuple[Tried, ...]  # every training of the rate search, none hidden
    edges: tuple[str, ...]  # arms whose best rate is at an end of the grid
    trained: Mapping[tuple[str, int], Computed]  # (arm, seed) -> training; only arms that are trained
    read: Mapping[tuple[str, int], Computed]  # (arm, seed) -> metrics; every arm
    results: Results
    noise: Mapping[str, Paired]  # prediction id -> A/A differences; empty where none are needed
    verdict: Verdict
    measured: Mapping[str, Any]  # time, cost, machine: all that is not bit-reproducible
    twins: Mapping[int, Computed] = field(default_factory=dict)  # seed -> metrics of the control's A/A twin
    # steps -> (arm, seed) -> metrics, at the budgets below the whole; see lab/trend.py
    trend: Mapping[int, Mapping[tuple[str, int], Computed]] = field(default_factory=dict)

    def points(self) -> list[Point]:
        """The trend, the whole budget last; empty where the profile has none."""
        plan = self.plan
        if not self.trend or not isinstance(plan.task, Trained):
            return []
        metric = plan.task.metric
        measures = {name: Measure(metric.unit(name), metric.lower_is_better(name)) for name in metric.names()}
        found: dict[int, Results] = {plan.steps: self.results}
        for n, cells in self.trend.items():
            seeds = plan.profile.seeds
            found[n] = {
                arm.name: {seed: cells[arm.name, seed].result["metrics"] for seed in seeds} for arm in plan.claim.arms
            }
        return points(plan.predictions, measures, found, plan.tokens_per_step)

    def _trend_json(self) -> dict[str, Any]:
        if not self.trend:
            return {}
        cells = [
            {
                "arm": arm,
                "steps": n,
                "replicate": seed,
                "digest": computed.cell.digest,
                "status": computed.result["status"],
                "metrics": computed.result["metrics"],
            }
            for n, some in self.trend.items()
            for (arm, seed), computed in some.items()
        ]
        return {"trend": {"points": [point.entry() for point in self.points()], "cells": cells}}

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """All arms against one another in the metrics that are predicted; none from a smoke run."""
        if self.plan.smoke:
            return ()
        measures = {one.prediction.metric: one.measure for one in self.verdict.outcomes}
        return rankings([one.prediction for one in self.verdict.outcomes], self.verdict.primary, self.results, measures)

    def verdict_json(self) -> dict[str, Any]:
        """The contents of verdict.json, schema paribus.verdict/1."""
        plan = self.plan
        matching: dict[str, Any] = {"contract": "none", "residual": {}}
        if isinstance(plan.task, Trained):
            matching = {
                "contract": plan.task.match,
                "residual": {name: sized.residual for name, sized in plan.sized.items()},
            }
        return {
            "schema": "paribus.verdict/1",
            "claim": plan.name,
            "version": plan.claim.version,
            "profile": plan.profile_name,
            "plan": plan.digest,
            "verdict": self.verdict.word,
            "primary": plan.claim.primary,
            "predictions": self.verdict.entries(),
            "aa": [
                {"id": name, "n": noise.n, "mean": noise.mean, "p_t": noise.p_t(), "values": list(noise.values)}
                for name, noise in self.noise.items()
            ],
            "rankings": [ranking.entry() for ranking in self.rankings],
            "matching": matching,
            **({"stacks": list(map(list, stacks))} if (stacks := plan.profile.stacks(plan.profile.seeds)) else {}),
            "corpus": {"manifest": plan.manifest.get("digest", "")},
            "environment": asdict(plan.environment),
            "learning_rates": {
                "chosen": dict(self.rates),
                "searched": plan.searched,
                "at_edge": list(self.edges),
                "tried": [asdict(one) for one in self.tried],
            },
            "cells": [
                {
                    "arm": computed.cell.arm,
                    "phase": computed.cell.phase,
                    "kind": computed.cell.kind,
                    "learning_rate": self.rates.get(plan.claim.weights_of(plan.claim.arm(computed.cell.arm))),
                    "replicate": computed.cell.replicate,
                    "digest": computed.cell.digest,
                    "status": computed.result["status"],
                    "metrics": computed.result["metrics"],
                }
                for computed in (*self.trained.values(), *self.read.values(), *self.twins.values())
            ],
            **self._trend_json(),
            "measured": dict(self.measured),
        }
