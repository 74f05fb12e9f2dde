"""What plan.json fixes of its verdict: arms, seeds and steps, which cells must be listed, and what each must be.

A digest names a cell's description, and nothing in it says "arm": so the description is held against the one that the
plan gives for the arm, seed and phase under which a verdict lists the cell. All is read from files; no claim is
imported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paribus.core.config import Part, from_dict, revisions
from paribus.core.errors import ConfigError
from paribus.lab.cell import ENGINE_REVISION
from paribus.lab.claim import Profile
from paribus.lab.combinations import weights_of
from paribus.lab.predictions import Prediction
from paribus.models.decoder import DecoderLM  # noqa: F401 - makes its config, and so its price, known
from paribus.training.budget import Contract, price

# What is compared of a cell's task, and what it is where the task leaves it out.
OF_A_TASK: dict[str, Any] = {
    "data": None, "manifest": None, "train_length": None, "span": None, "recipe": None, "loss": None, "processes": 1,
    "compiler": None, "stack": [], "metric": None, "dtype": None,
}  # fmt: skip
OF_A_CELL = ("kind", "config", "engine", "replicate", "environment", "learning_rate", "steps", "perturbed")

Place = tuple[str, str, str, int]  # kind, phase, arm, replicate


@dataclass(frozen=True)
class Planned:
    plan: Mapping[str, Any]

    @cached_property
    def task(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.plan["task"]
        return found

    @cached_property
    def trained(self) -> bool:
        return bool(self.task["part"] == "Trained")

    @cached_property
    def arms(self) -> dict[str, Mapping[str, Any]]:
        return {arm["name"]: arm for arm in self.plan["arms"]}

    @cached_property
    def trained_arms(self) -> list[str]:
        return [name for name, arm in self.arms.items() if self.trained and arm["reads"] is None]

    @cached_property
    def profile(self) -> Profile:
        found: Profile = from_dict(Profile, self.plan["settings"])
        return found

    @cached_property
    def predictions(self) -> list[Prediction]:
        return [from_dict(Prediction, one) for one in self.plan["predicts"]]

    def owner(self, arm: str) -> str:
        """The arm whose training an arm reads."""
        return str(self.arms[arm]["reads"] or arm)

    @property
    def with_noise(self) -> list[Prediction]:
        """The predictions that compare weights trained apart, and so are held to the A/A differences."""
        return [
            one for one in self.predictions if self.trained and len({self.owner(name) for name in one.contrast}) > 1
        ]

    @property
    def control(self) -> str | None:
        """The arm whose twin is trained."""
        for prediction in sorted(self.with_noise, key=lambda one: one.id != self.plan["primary"]):
            than = weights_of(prediction.than)
            return self.owner(next(name for name in self.arms if name in than))
        return None

    @cached_property
    def tokens_per_step(self) -> int:
        return int(self.task["recipe"]["batch"] * (self.task.get("span") or self.task["train_length"]))

    @cached_property
    def steps(self) -> int:
        return self.profile.steps(self.tokens_per_step)

    @property
    def tuning_steps(self) -> int:
        return self.profile.tuning_steps(self.tokens_per_step)

    @property
    def earlier(self) -> tuple[int, ...]:
        """The steps of the budgets of a trend, the whole left out."""
        trend = self.profile.trend
        return () if trend is None or not self.trained else trend.points(self.steps)[:-1]

    def places(self) -> Iterator[Place]:
        """What a verdict must list; trainings besides, each arm and seed at most once."""
        for seed in self.profile.seeds:
            for arm in self.arms:
                yield "read" if self.trained else "measure", "verdict", arm, seed
            if self.control is not None:
                yield "read", "aa", self.control, seed

    def training(
        self, arm: str, seed: int, rate: float, steps: int | None = None, perturbed: bool = False
    ) -> dict[str, Any]:
        """What the description of a training must tell."""
        told = self.arms[arm]
        return {
            **self._cell("train", arm, seed),
            "learning_rate": rate,
            "steps": self.steps if steps is None else steps,
            "perturbed": perturbed,
            "train_length": self.task["train_length"],
            "span": self.task.get("span"),
            "recipe": self._recipe(self.task["recipe"]),
            "loss": told.get("loss"),
            "processes": self.profile.processes,
            "compiler": self.profile.compiler,
            "stack": list(self.profile.stack_of(seed)),
        }

    def reading(self, arm: str, seed: int) -> dict[str, Any]:
        return {
            **self._cell("read", arm, seed),
            "metric": self.task["metric"],
            "dtype": self.task["recipe"]["dtype"],
        }

    def measuring(self, arm: str, seed: int) -> dict[str, Any]:
        return {**self._cell("measure", arm, seed), "data": None, "manifest": None, "task": self.task}

    def _cell(self, kind: str, arm: str, seed: int) -> dict[str, Any]:
        return {
            "kind": kind,
            "config": self.arms[arm]["config"],
            "replicate": seed,
            "engine": self.plan["engine"],
            "environment": self.plan["environment"],
            "learning_rate": None,
            "steps": None,
            "perturbed": False,
            "data": self.arms[arm].get("data", self.task.get("data")),
            "manifest": self.plan["manifest"],
        }

    def odd(self, described: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
        """The fields in which a description is not what is wanted."""
        task = described["task"]
        told = {name: described[name] for name in OF_A_CELL} | {"task": task}
        told |= {name: task.get(name, absent) for name, absent in OF_A_TASK.items()}
        if told["recipe"] is not None:
            told["recipe"] = self._recipe(told["recipe"])
        found = [name for name, value in wanted.items() if told[name] != value]
        ours, theirs = self.plan["revisions"], described["revisions"]
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
            found.append("revisions")
        return found

    def _recipe(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe; the pieces of a trend have schedules of their own."""
        return {name: value for name, value in recipe.items() if name != "schedule" or self.profile.trend is None}

    def residuals(self) -> dict[str, float]:
        """Arm -> how far its price is from the reference's, for models of the package in the revisions of the plan."""
        found: dict[str, float] = {}
        if not self.trained:
            return found
        first = self.trained_arms[0]
        reference, contract = self._config(first), self.task["match"]
        quantity: Contract = "parameters" if contract == "none" else contract
        for name, arm in self.arms.items():
            config = self._config(name)
            if arm["reads"] is not None or name == first:
                found[name] = 0.0
            elif config is not None and reference is not None:
                costs = price(config, self._length(name), quantity), price(reference, self._length(first), quantity)
                found[name] = costs[0] / costs[1] - 1
        return found

    def _length(self, arm: str) -> int:
        return int(self.arms[arm].get("length") or self.task["train_length"])

    def _config(self, arm: str) -> Any:
        """An arm's config; None where it is the user's own, or was priced by other code than today's."""
        try:
            config = from_dict(Part, self.arms[arm]["config"])
        except ConfigError:
            return None
        ours = self.plan["revisions"]
        same = all(ours.get(name) == number for name, number in revisions(config).items())
        return config if same and self.plan["engine"] == ENGINE_REVISION else None
