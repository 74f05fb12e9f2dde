"""From a claim and a profile to cells with prices: everything that is decided before anything is spent.

Stages: a rate is chosen for every arm trained from scratch (tuning seeds, dev split), then for arms that start from
others' weights, then all arms are trained on fresh verdict seeds and read on the test split.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from paribus.core.config import canonical_json, digest, to_dict
from paribus.core.errors import ConfigError
from paribus.lab.cell import ENGINE_REVISION, Cell, Environment, revisions_of
from paribus.lab.claim import Arm, Claim, Measured, Profile, Trained
from paribus.lab.code import code_hash
from paribus.lab.combinations import weights_of
from paribus.lab.fitting import check_modules, check_profile, check_stacked, check_vocabulary, length_of
from paribus.lab.one_step import check_step
from paribus.lab.predictions import Prediction
from paribus.theory.flops import TRAINING_FACTOR
from paribus.training.budget import Sized, match, size, width
from paribus.training.price import flops
from paribus.training.recipe import Recipe

SMOKE = "smoke"


@dataclass(frozen=True)
class Plan:
    name: str
    claim: Claim
    profile_name: str
    profile: Profile
    environment: Environment
    manifest: Mapping[str, Any]  # of the data: {"digest", ...}; empty for measured tasks
    sized: Mapping[str, Sized]  # by arm; empty for measured tasks

    @property
    def smoke(self) -> bool:
        return self.profile_name == SMOKE

    @property
    def task(self) -> Trained | Measured:
        return self.claim.task

    @property
    def trained(self) -> Trained:
        assert isinstance(self.claim.task, Trained)
        return self.claim.task

    @property
    def tokens_per_step(self) -> int:
        """What budgets count: tokens, or bytes where the task has a span."""
        return self.trained.recipe.batch * (self.trained.span or self.trained.train_length)

    @property
    def counted(self) -> str:
        """The unit of budgets in words."""
        return "tokens" if self.trained.span is None else "bytes"

    def length_of(self, arm: Arm) -> int:
        """Tokens of a training row: what prices are taken at."""
        return length_of(arm, self.trained)

    @property
    def steps(self) -> int:
        return self.profile.steps(self.tokens_per_step)

    @property
    def tuning_steps(self) -> int:
        return self.profile.tuning_steps(self.tokens_per_step)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The steps of every budget that is read: those of the trend, then the whole."""
        trend = self.profile.trend
        return (self.steps,) if trend is None else trend.points(self.steps)

    def recipe(self, steps: int) -> Recipe:
        """The recipe of a training of so many steps."""
        recipe, trend = self.trained.recipe, self.profile.trend
        return recipe if trend is None else replace(recipe, schedule=trend.branch(self.steps, steps))

    @property
    def searched(self) -> bool:
        return len(self.profile.learning_rates) > 1

    @property
    def predictions(self) -> list[Prediction]:
        """The claim's predictions with the margins of this profile."""
        margins = self.profile.margins
        return [p.with_margin(margins[p.id]) if p.id in margins else p for p in self.claim.predicts]

    @property
    def control(self) -> Arm | None:
        """The arm whose A/A twin is trained: None when no prediction compares weights trained apart."""
        if not isinstance(self.claim.task, Trained):
            return None
        for prediction in sorted(self.claim.predicts, key=lambda p: p.id != self.claim.primary):
            if self.trained_apart(prediction):
                than = weights_of(prediction.than)
                first = next(arm for arm in self.claim.arms if arm.name in than)
                return self.claim.arm(self.claim.weights_of(first))
        return None

    def trained_apart(self, prediction: Prediction) -> bool:
        """Whether a prediction compares weights of different trainings."""
        return len({self.claim.weights_of(self.claim.arm(name)) for name in prediction.contrast}) > 1

    def described(self) -> dict[str, Any]:
        """The JSON form whose digest names the run: no time, host or place in it."""
        claim = self.claim
        return {
            "schema": "paribus.plan/1",
            "claim": self.name,
            "version": claim.version,
            "statement": claim.statement,
            "profile": self.profile_name,
            "settings": {
                name: value
                for name, value in to_dict(self.profile).items()
                if (name, value) not in (("trend", None), ("processes", 1), ("compiler", None), ("stack", 1))
            },
            "arms": [
                {
                    "name": arm.name,
                    "config": to_dict(self.sized[arm.name].config if arm.name in self.sized else arm.config),
                    "reads": arm.reads,
                    "starts_from": arm.starts_from,
                    **({} if arm.data is None else {"data": to_dict(arm.data)}),
                    **({} if arm.length is None else {"length": arm.length}),
                    **_named(arm),
                }
                for arm in claim.arms
            ],
            "task": self.task_described(),
            "primary": claim.primary,
            "predicts": [to_dict(prediction) for prediction in self.predictions],
            "manifest": self.manifest.get("digest", ""),
            "revisions": revisions_of([(arm.config, arm.loss) for arm in claim.arms], claim.task),
            "engine": ENGINE_REVISION,
            "environment": asdict(self.environment),
        }

    def task_described(self) -> dict[str, Any]:
        """The task's JSON form; a measure is known by its code, wherever its file lies."""
        described: dict[str, Any] = to_dict(self.task)
        if described.get("span", 0) is None:
            del described["span"]
        if isinstance(self.task, Measured):
            described["measure"] = code_hash(self.task.measure)
        return described

    @property
    def digest(self) -> str:
        return digest(self.described())

    def training_flops(self, arm: Arm, causal: bool = False) -> float:
        """FLOPs of training on one token, the loss included; `causal`: without the pairs above the diagonal."""
        sized = self.sized[arm.name]
        forward = sized.causal_flops_per_token if causal else sized.flops_per_token
        return TRAINING_FACTOR * forward + loss_flops(arm)

    def tuning_cells(self, arm: Arm, rates: Mapping[str, float], grid: Sequence[float]) -> list[Cell]:
        """One training per rate of the grid and tuning seed; `rates` are those already chosen for other arms."""
        return [
            self._train(arm, "tune", rate, seed, self.tuning_steps, rates)
            for rate in grid
            for seed in self.profile.tuning_seeds
        ]

    def verdict_cells(self, rates: Mapping[str, float]) -> list[Cell]:
        """The cells whose metrics give the verdict: one reading per arm and seed, with the trainings they read."""
        if isinstance(self.claim.task, Measured):
            return [self._measure(arm, seed) for seed in self.profile.seeds for arm in self.claim.arms]
        cells = [self._read(arm, seed, rates, "verdict") for seed in self.profile.seeds for arm in self.claim.arms]
        return cells + self.noise_cells(rates) + [cell for _, some in self.trend_cells(rates) for cell in some]

    def trend_cells(self, rates: Mapping[str, float]) -> list[tuple[int, list[Cell]]]:
        """The readings at every budget below the whole: (steps, one cell an arm and seed)."""
        return [
            (n, [self._read(arm, seed, rates, "trend", n) for seed in self.profile.seeds for arm in self.claim.arms])
            for n in self.budgets[:-1]
        ]

    def noise_cells(self, rates: Mapping[str, float]) -> list[Cell]:
        """The A/A twin of the control, read like the control; empty where it is not needed."""
        if self.control is None:
            return []
        return [self._read(self.control, seed, rates, "aa") for seed in self.profile.seeds]

    def training(self, arm: Arm, rate: float, seed: int, steps: int) -> Cell:
        """One arm from its start, by the recipe as it stands."""
        return self._piece(arm, "verdict", rate, seed, steps, self.trained.recipe, start=None, first=0)

    def _train(self, arm: Arm, phase: str, rate: float, seed: int, steps: int, rates: Mapping[str, float]) -> Cell:
        trend = self.profile.trend
        start, first = None, 0
        if trend is not None and phase != "tune":
            for snapshot in [trend.hold(n) for n in self.budgets if n <= steps]:
                trunk = replace(self.trained.recipe, schedule=trend.trunk(self.steps))
                start = self._piece(arm, phase, rate, seed, snapshot, trunk, start, first, keeps_state=True)
                first = snapshot
        if arm.starts_from is not None:
            base = self.claim.arm(arm.starts_from)
            # Even for the A/A twin the start is the arm's own: one perturbation, where this training begins.
            start = self._train(base, "verdict" if phase == "aa" else phase, rates[base.name], seed, self.steps, rates)
        recipe, stack = self.recipe(steps), self.profile.stack_of(seed)
        return self._piece(arm, phase, rate, seed, steps, recipe, start, first, stack=stack)

    def _piece(
        self,
        arm: Arm,
        phase: str,
        rate: float,
        seed: int,
        steps: int,
        recipe: Recipe,
        start: Cell | None,
        first: int,
        keeps_state: bool = False,
        stack: tuple[int, ...] = (),
    ) -> Cell:
        """A training up to `steps`, the first `first` of them done by `start`."""
        task, config = self.trained, self.sized[arm.name].config
        return Cell(
            kind="train",
            arm=arm.name,
            phase=phase,
            config=config,
            task={
                "data": to_dict(self.claim.data_of(arm)),
                "manifest": self.manifest.get("digest", ""),
                "train_length": task.train_length,
                **({} if task.span is None else {"span": task.span}),
                "recipe": to_dict(recipe),
                **_named(arm),
                **({"goes_on": True} if first else {}),
                **({"keeps_state": True} if keeps_state else {}),
                **({} if self.profile.processes == 1 else {"processes": self.profile.processes}),
                **({} if self.profile.compiler is None else {"compiler": self.profile.compiler}),
                **({"stack": list(stack)} if stack else {}),
            },
            revisions=revisions_of(config, self.claim.data_of(arm), recipe, arm.loss),
            replicate=seed,
            environment=self.environment,
            learning_rate=rate,
            steps=steps,
            perturbed=phase == "aa",
            weights=start,
            loss=arm.loss,
            recipe=recipe,
            goes_on=first > 0,
            keeps_state=keeps_state,
            processes=self.profile.processes,
            compiler=self.profile.compiler,
            stack=stack,
            cost=self.training_flops(arm) * (steps - first) * recipe.batch * self.length_of(arm),
        )

    def _read(self, arm: Arm, seed: int, rates: Mapping[str, float], phase: str, steps: int | None = None) -> Cell:
        task = self.trained
        owner = self.claim.arm(self.claim.weights_of(arm))
        config = self.sized[arm.name].config
        return Cell(
            kind="read",
            arm=arm.name,
            phase=phase,
            config=config,
            task={
                "data": to_dict(self.claim.data_of(arm)),
                "manifest": self.manifest.get("digest", ""),
                "metric": to_dict(task.metric),
                "dtype": task.recipe.dtype,
            },
            revisions=revisions_of(config, self.claim.data_of(arm), task.metric),
            replicate=seed,
            environment=self.environment,
            weights=self._train(owner, phase, rates[owner.name], seed, steps or self.steps, rates),
            cost=flops(config, task.metric.longest) / task.metric.longest * task.metric.tokens_read(),
        )

    def _measure(self, arm: Arm, replicate: int) -> Cell:
        task = self.claim.task
        assert isinstance(task, Measured)
        return Cell(
            kind="measure",
            arm=arm.name,
            phase="verdict",
            config=arm.config,
            task=self.task_described(),
            revisions=revisions_of(arm.config, task),
            replicate=replicate,
            environment=self.environment,
            cost=1.0,
        )

    def expected_cells(self) -> list[Cell]:
        """Every cell of the run, the first rate standing in for those still to be chosen: for counts and prices."""
        stand_in = {arm.name: rate for arm in self.claim.arms for rate in self.profile.learning_rates[:1]}
        tuning: list[Cell] = []
        if self.searched:
            for arm in self.claim.trained_arms():
                tuning += self.tuning_cells(arm, stand_in, self.profile.learning_rates)
        return with_dependencies(tuning + self.verdict_cells(stand_in))


def _named(arm: Arm) -> dict[str, Any]:
    """The loss that an arm names. Nothing where it names none, so that such a cell keeps its name."""
    return {} if arm.loss is None else {"loss": to_dict(arm.loss)}


def loss_flops(arm: Arm) -> int:
    """FLOPs a token that the arm's own loss adds to a training by cross entropy."""
    return 0 if arm.loss is None else arm.loss.extra_flops(arm.config.vocab_size, arm.config.d_model)


def with_dependencies(cells: list[Cell]) -> list[Cell]:
    """The cells and all that they need, each digest once, what is needed first."""
    found: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.weights is not None:
            add(cell.weights)
        found.setdefault(cell.digest, cell)

    for cell in cells:
        add(cell)
    return list(found.values())


def make_plan(
    claim: Claim,
    name: str,
    profile_name: str,
    environment: Environment,
    manifest: Mapping[str, Any],
    seeds: int | None = None,
) -> Plan:
    """Solve the sizes and fix the seeds. `seeds` overrides how many verdict seeds are run."""
    profile = claim.profile(profile_name)
    if seeds is not None:
        if seeds < 1:
            raise ConfigError(f"--seeds {seeds}: expected at least 1; a verdict needs at least 6")
        profile = replace(profile, seeds=_continued(profile, seeds))
    sized: dict[str, Sized] = {}
    if isinstance(claim.task, Trained):
        check_vocabulary(claim)
        check_profile(claim, profile)
        sized = sized_arms(claim, claim.task)
        check_modules(sized, claim)
        check_step(sized, claim, profile)
        check_stacked(sized, claim, profile)
    return Plan(name, claim, profile_name, profile, environment, manifest, sized)


def sized_arms(claim: Claim, task: Trained) -> dict[str, Sized]:
    """Every arm as it is trained and read, its d_ff solved for what the task makes equal."""
    sized: dict[str, Sized] = {}
    contract, reference = task.match, claim.trained_arms()[0]
    for arm in claim.trained_arms():
        try:
            lengths = length_of(arm, task), length_of(reference, task)
            sized[arm.name] = match(arm.config, reference.config, lengths[0], contract, lengths[1])
        except ConfigError as error:
            raise ConfigError(f"arm {arm.name!r} against {reference.name!r}: {error}") from error
    unequal = [arm.name for arm in claim.trained_arms() if loss_flops(arm)]
    if contract.startswith("flops") and unequal:
        raise ConfigError(
            f"the losses of {', '.join(unequal)} cost more than cross entropy, and d_ff is not solved for that: "
            "say match='parameters' or 'none' in the task; the table of arms then shows what each costs"
        )
    for arm in claim.arms:
        if arm.reads is not None:
            owner = sized[arm.reads].config
            config = arm.config
            solved = width(owner)
            if solved is not None and width(config) not in (None, solved):
                config = config.with_d_ff(solved)
            sized[arm.name] = size(config, length_of(arm, task))
    return sized


def _continued(profile: Profile, count: int) -> tuple[int, ...]:
    """The first `count` seeds, going on past the declared ones with the next integers that tuned nothing."""
    further = (seed for seed in itertools.count(max(profile.seeds) + 1) if seed not in profile.tuning_seeds)
    return tuple(itertools.islice(itertools.chain(profile.seeds, further), count))


def plan_json(plan: Plan) -> str:
    return json.dumps(json.loads(canonical_json(plan.described())), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def total_cost(cells: list[Cell]) -> float:
    """FLOPs of the cells."""
    return math.fsum(cell.cost for cell in cells)
