"""What a claim is: a statement, its arms, the task they share, and predictions written before the first run.

Building one touches no file, tensor or random number; `paribus check` does the rest.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Literal, cast

from paribus.core.config import Part, require
from paribus.core.errors import ConfigError, nearest
from paribus.data.source import Source
from paribus.evaluation.base import Metric
from paribus.lab.code import check_named
from paribus.lab.predictions import Prediction
from paribus.lab.trend import Trend
from paribus.losses.output.base import OutputLoss
from paribus.training.budget import Contract
from paribus.training.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One of the things compared.

    reads: the arm whose trained weights this one reads with its own config (other positions, another scale): nothing is
    trained. starts_from: the arm whose trained weights this one is trained further from. loss: what its training
    lowers; None is the mean cross entropy of the logits. Rates are chosen by cross entropy whatever the loss.
    data: the task's text through another tokenizer, where the task has a span; without one, the task's data written in
    another way, a source of equal `content`. length: tokens of a span on average, which its prices are taken at; a run
    checks it.
    """

    name: str
    config: Any
    reads: str | None = None
    starts_from: str | None = None
    loss: OutputLoss | None = None
    data: Source | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        require(
            self.reads is None or self.starts_from is None,
            f"arm {self.name!r} both reads {self.reads!r} and starts from {self.starts_from!r}: choose one",
        )
        require(
            self.reads is None or self.loss is None,
            f"arm {self.name!r} reads {self.reads!r}, so that nothing is trained by its loss: leave the loss away",
        )


class Trained(Part):
    """Every arm is trained on the same batches under an equal budget; the unit is a seed.

    span: raw bytes of a row, where the arms' tokenizers differ, so that all read the same bytes. Budgets then count
    bytes, and a span of more than train_length tokens is read as several rows.
    """

    data: Source
    train_length: int
    metric: Metric
    recipe: Recipe = Recipe()
    match: Contract = "parameters"  # what d_ff is solved for; arms that only read are not matched
    span: int | None = None

    def check(self) -> None:
        require(self.span is None or self.span >= 2, f"span = {self.span}: expected at least 2 bytes")
        require(
            (self.match == "flops per span") == (self.span is not None),
            f"span = {self.span} and match = {self.match!r}: arms with tokenizers of their own are matched in 'flops "
            "per span', and no others are",
        )
        require(self.train_length >= 1, f"train_length = {self.train_length}: expected at least 1 token")


class Measured(Part):
    """Nothing is trained: measure(config, replicate) -> {metric: value} for every arm; the unit is a replicate.

    measure: a function at the top of a file, known by the code of that file; what varies stands in the arms' configs.
    Raises ConfigError for a lambda, an inner function or an object, and for no units.
    """

    measure: Callable[[Any, int], Mapping[str, float]]
    unit: str  # what a replicate is: a document, a draw, a prompt
    units: dict[str, str]  # metric -> unit of its values
    lower_is_better: tuple[str, ...] = ()

    def check(self) -> None:
        require(
            inspect.isfunction(self.measure),
            f"measure = {self.measure!r}: expected a function at the top of a file, `def measure(config, replicate): "
            "...`; the numbers that an object holds are part of no digest: put them into the arms' configs",
        )
        check_named(cast("FunctionType", self.measure))
        require(len(self.units) > 0, "units = {}: name at least one metric and its unit")


class Budget(Part):
    """How much one run may spend."""

    tokens: int

    def check(self) -> None:
        require(self.tokens >= 1, f"tokens = {self.tokens}: expected at least 1")


class Profile(Part):
    """How a claim is run at one size: budget, seeds, rates, margins."""

    budget: Budget | None = None  # None for measured tasks
    seeds: Sequence[int]
    # One rate is taken as it is, and the report says that it was not searched; several are searched for each arm.
    learning_rates: Sequence[float] = ()
    tuning_seeds: Sequence[int] = (1001, 1002)
    tuning_fraction: float = 1.0  # share of the budget that a tuning run gets
    # How often the grid is prolonged, for all arms alike, while some arm's best rate is at its end.
    grid_extensions: int = 2
    margins: dict[str, float] = field(default_factory=dict)  # prediction id -> margin at this size
    # prediction id -> standard deviation of the paired difference, as far as it is known before the run
    expected_sd: dict[str, float] = field(default_factory=dict)
    trend: Trend | None = None  # smaller budgets on the way, and a schedule that allows them
    device: Literal["cpu", "cuda"] = "cpu"
    processes: int = 1  # that carry out one training together under torchrun, for a model too large for one GPU
    compiler: str | None = None  # a backend of torch.compile for the trainings, such as "inductor"
    stack: int = 1  # seeds of one arm that are trained as one batched model, see lab/stack.py
    note: str = ""  # where the rate or the expected sd come from

    def steps(self, tokens_per_step: int) -> int:
        """How many steps a training of the whole budget has."""
        assert self.budget is not None
        return max(1, round(self.budget.tokens / tokens_per_step))

    def tuning_steps(self, tokens_per_step: int) -> int:
        return max(1, round(self.steps(tokens_per_step) * self.tuning_fraction))

    def check(self) -> None:
        require(len(self.seeds) >= 1, "seeds = (): expected at least one")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds = {self.seeds}: the same seed twice")
        require(
            not set(self.seeds) & set(self.tuning_seeds),
            "tuning seeds and verdict seeds overlap: a verdict needs fresh seeds",
        )
        require(all(rate > 0 for rate in self.learning_rates), f"learning_rates = {self.learning_rates}: not positive")
        require(self.grid_extensions >= 0, f"grid_extensions = {self.grid_extensions}: expected 0 or more")
        require(0 < self.tuning_fraction <= 1, f"tuning_fraction = {self.tuning_fraction}: expected a share in (0, 1]")
        require(self.processes >= 1, f"processes = {self.processes}: expected at least 1")
        require(
            self.processes == 1 or self.trend is None,
            f"processes = {self.processes} and a trend: its states are kept by one process; leave one out",
        )
        require(
            self.processes == 1 or self.compiler is None,
            f"processes = {self.processes} and compiler = {self.compiler!r}: a sharded model is not compiled; leave "
            "one out",
        )
        require(self.stack >= 1, f"stack = {self.stack}: expected at least 1")
        others = {"processes": self.processes > 1, "a trend": self.trend is not None, "compiler": bool(self.compiler)}
        for name, present in others.items():
            require(
                self.stack == 1 or not present,
                f"stack = {self.stack} and {name}: a stack is one process, keeps no state and is not compiled; leave "
                "one out",
            )

    def stacks(self, seeds: Sequence[int]) -> list[tuple[int, ...]]:
        """The seeds cut into pieces of `stack`, in their order; one that is left over is trained alone."""
        pieces = [tuple(seeds[at : at + self.stack]) for at in range(0, len(seeds), self.stack)]
        return [piece for piece in pieces if len(piece) > 1]

    def stack_of(self, seed: int) -> tuple[int, ...]:
        """The seeds that are trained as one model with this one, itself among them; none where it is alone."""
        pieces = [*self.stacks(self.tuning_seeds), *self.stacks(self.seeds)]
        return next((piece for piece in pieces if seed in piece), ())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A falsifiable statement with everything that its re-check needs."""

    statement: str
    source: str
    arms: Sequence[Arm]
    task: Trained | Measured
    profiles: Mapping[str, Profile]
    primary: str
    predicts: Sequence[Prediction]
    version: int = 1
    title: str = ""  # a short name for headlines
    notes: str = ""  # what a reader of the report should know: scale, confounders, where the post is wrong

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        require(len(names) > 0, "arms = []: expected at least one arm")
        require(len(set(names)) == len(names), f"two arms of one name among {', '.join(names)}")
        by_name = {arm.name: arm for arm in self.arms}
        for arm in self.arms:
            for role, other in (("reads", arm.reads), ("starts_from", arm.starts_from)):
                if other is None:
                    continue
                require(
                    other in by_name, f"arm {arm.name!r} {role} {other!r}, which is no arm; {nearest(other, names)}"
                )
                require(
                    by_name[other].reads is None and by_name[other].starts_from is None,
                    f"arm {arm.name!r} {role} {other!r}, which is not trained from scratch itself",
                )
        for arm in self.arms:
            check_data(arm, self.task)
        if isinstance(self.task, Trained):
            for arm in self.arms:
                require(
                    callable(getattr(arm.config, "build", None)),
                    f"arm {arm.name!r} is given {arm.config!r}: expected a config whose build() makes the model anew "
                    "for every seed; for any other class or function that makes an nn.Module write "
                    "AnyModule.Config(make=...), from paribus.models.any_module",
                )
        ids = [prediction.id for prediction in self.predicts]
        require(len(ids) > 0, "predicts = []: a claim must be able to fail")
        require(len(set(ids)) == len(ids), f"two predictions of one id among {', '.join(ids)}")
        require(self.primary in ids, f"primary = {self.primary!r} is no prediction; {nearest(self.primary, ids)}")
        known = self.task.metric.names() if isinstance(self.task, Trained) else tuple(self.task.units)
        for prediction in self.predicts:
            for name in prediction.contrast:
                require(name in by_name, f"prediction {prediction.id!r}: no arm {name!r}; {nearest(name, names)}")
            require(
                prediction.metric in known,
                f"prediction {prediction.id!r}: no metric {prediction.metric!r}; {nearest(prediction.metric, known)}",
            )
        require(len(self.profiles) > 0, "profiles = {}: expected at least one")
        for name, profile in self.profiles.items():
            for given in (*profile.margins, *profile.expected_sd):
                require(given in ids, f"profile {name!r}: no prediction {given!r}; {nearest(given, ids)}")
            if isinstance(self.task, Trained):
                require(
                    profile.budget is not None and len(profile.learning_rates) > 0,
                    f"profile {name!r} of a trained claim needs a budget and at least one learning rate",
                )
            require(
                profile.stack == 1 or isinstance(self.task, Trained),
                f"profile {name!r} has stack = {profile.stack}, and this task trains nothing: leave it out",
            )
            if profile.trend is not None:
                further = [arm.name for arm in self.arms if arm.starts_from is not None]
                require(
                    isinstance(self.task, Trained) and not further,
                    f"profile {name!r} has a trend, which needs arms that are all trained from scratch"
                    + (f": {', '.join(further)} start from others' weights" if further else "; this task trains none"),
                )

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def profile(self, name: str) -> Profile:
        if name not in self.profiles:
            raise ConfigError(f"this claim has no profile {name!r}; it has {', '.join(self.profiles)}")
        return self.profiles[name]

    def trained_arms(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.reads is None]

    def data_of(self, arm: Arm) -> Source:
        """What an arm of a trained claim reads."""
        assert isinstance(self.task, Trained)
        return self.task.data if arm.data is None else arm.data

    def weights_of(self, arm: Arm) -> str:
        """The name of the arm that is trained so that this one can be read."""
        return arm.reads if arm.reads is not None else arm.name


def check_data(arm: Arm, task: Trained | Measured) -> None:
    """An arm of a task with spans says how long they are in its tokens; its content is the task's."""
    span = getattr(task, "span", None)
    require(
        (arm.length is not None) == (span is not None) and (arm.data is None or isinstance(task, Trained)),
        f"arm {arm.name!r}: length and data of its own belong to a task with a span, in which every arm has a length; "
        "data alone to any other that is trained",
    )
    if arm.data is None or not isinstance(task, Trained):
        return
    if span is None:
        require(
            arm.data.content == task.data.content,
            f"arm {arm.name!r} reads {arm.data.content!r}, the task's data is {task.data.content!r}: without a span "
            "all arms read the same rows, only how they are written may differ",
        )
        return
    ours, theirs = (getattr(data, "corpus", None) for data in (arm.data, task.data))
    require(
        ours is not None and ours == theirs,
        f"arm {arm.name!r} reads {ours!r}, the task's data is {theirs!r}: all arms read the same text, only the "
        "tokenizer may differ",
    )


def defined_in(module: Any) -> Claim:
    """The claim of a module: its attribute `claim`."""
    claim = getattr(module, "claim", None)
    if isinstance(claim, Claim):
        return claim
    found = [name for name, value in inspect.getmembers(module) if isinstance(value, Claim)]
    hint = f"it has {', '.join(found)}: rename one to `claim`" if found else "write `claim = Claim(...)`"
    raise ConfigError(f"{getattr(module, '__file__', module)} has no `claim`: {hint}")
