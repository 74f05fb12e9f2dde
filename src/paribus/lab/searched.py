"""The search of learning rates again, from the tuning cells of a run folder and its plan."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from paribus.core.config import canonical_json
from paribus.lab.on_disk import CellOnDisk, RunOnDisk
from paribus.lab.planned import Planned
from paribus.lab.record import Tried
from paribus.lab.run import best_rates, beyond


class Searched:
    """`chosen`: arm -> rate, as far as it can be told; `tried` and `edges` as in a verdict; `missing`: what is not
    there, in sentences."""

    def __init__(self, planned: Planned, folder: Path) -> None:
        self.planned, self.run = planned, RunOnDisk(folder)
        self.chosen: dict[str, float] = {}
        self.tried: list[Tried] = []
        self.edges: list[str] = []
        self.missing: list[str] = []
        arms, rates = planned.trained_arms, sorted(planned.profile.learning_rates)
        if len(rates) == 1:
            self.chosen = dict.fromkeys(arms, rates[0])
        else:
            for scratch in (True, False):
                self._search([arm for arm in arms if (planned.arms[arm]["starts_from"] is None) == scratch], rates)

    def problems(self, told: Mapping[str, Any]) -> list[str]:
        """Where a verdict's `learning_rates` say something else."""
        if self.missing:
            return self.missing
        ours = {
            "chosen": self.chosen,
            "searched": len(self.planned.profile.learning_rates) > 1,
            "at_edge": self.edges,
            "tried": [asdict(one) for one in self.tried],
        }
        return [
            f"learning_rates.{name} cannot be recomputed from the tuning cells"
            for name, value in ours.items()
            if told[name] != value
        ]

    def _search(self, arms: list[str], grid: list[float]) -> None:
        if not arms:
            return
        tried = list(self._try(arms, grid))
        # A plan from before the grid could be prolonged does not have the word.
        for _ in range(self.planned.plan["settings"].get("grid_extensions", 0)):
            further = beyond(grid, best_rates(tried).values())
            if not further or self.missing:
                break
            grid = sorted(grid + further)
            tried += self._try(arms, further)
        best = best_rates(tried)
        self.chosen |= best
        self.tried += tried
        self.edges += [arm for arm in arms if best.get(arm) in (grid[0], grid[-1])]

    def _try(self, arms: list[str], rates: list[float]) -> Iterator[Tried]:
        for arm in arms:
            for rate in rates:
                for seed in self.planned.profile.tuning_seeds:
                    cell = self._cells.get((self._key_of(arm), rate, seed))
                    if cell is None or not cell.result:
                        self.missing.append(f"the tuning cell of arm {arm!r}, rate {rate:g}, seed {seed}, is not there")
                        continue
                    loss, diverged = cell.result["metrics"]["dev_loss"], cell.result["status"] == "diverged"
                    yield Tried(arm, rate, seed, loss, diverged)

    def _key_of(self, arm: str) -> str:
        planned, told = self.planned, self.planned.arms[arm]
        base = planned.arms[told["starts_from"]]["config"] if told["starts_from"] else None
        return canonical_json([told["config"], told.get("loss"), told.get("data", planned.task["data"]), base])

    @cached_property
    def _cells(self) -> dict[tuple[str, float, int], CellOnDisk]:
        """(config, loss, data and base of an arm; rate; seed) -> its tuning cell."""
        found = {}
        for cell in self.run.cells():
            told = cell.described
            if told.get("kind") != "train" or told["replicate"] not in self.planned.profile.tuning_seeds:
                continue
            start = None if told["weights"] is None else CellOnDisk(cell.path.parent / told["weights"]).described
            key = canonical_json(
                [told["config"], told["task"].get("loss"), told["task"]["data"], start and start["config"]]
            )
            if not self.planned.odd(
                told, {"steps": self.planned.tuning_steps, "manifest": self.planned.plan["manifest"]}
            ):
                found[key, told["learning_rate"], told["replicate"]] = cell
        return found
