"""The unit of work: one training, or one reading of trained weights. Its digest names its results for ever.

The digest covers everything that the numbers depend on: the config, the data by content, recipe, rate, steps, seed,
the revision of every part used and of the engine, torch's version, dtype, threads and device kind. The same cell is
never computed twice, and a fixed bug never reuses old numbers.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch

from paribus.core.config import digest, revisions, to_dict
from paribus.lab.code import foreign_code
from paribus.losses.output.base import OutputLoss
from paribus.training.recipe import Recipe

# Raised when the loop, the evaluation, the models or attention engine change numbers (tests/test_revisions.py).
ENGINE_REVISION = 6

Kind = Literal["train", "read", "measure"]


@dataclass(frozen=True)
class Environment:
    """What the bits of a result depend on, besides the cell itself."""

    torch: str
    device: str
    threads: int

    @staticmethod
    def here(device: str, threads: int) -> "Environment":
        kind = device if device == "cpu" else torch.cuda.get_device_name()
        return Environment(torch=torch.__version__, device=kind, threads=threads)


@dataclass(frozen=True)
class Cell:
    """kind "train": train `config`; "read": measure the weights of `weights` with `config`; "measure": no training."""

    kind: Kind
    arm: str
    phase: str  # "tune", "verdict", "trend" or "aa"; not part of the digest
    config: Any
    task: dict[str, Any]  # what the numbers depend on besides the config, in JSON form
    revisions: dict[str, int | str]
    replicate: int
    environment: Environment
    learning_rate: float | None = None
    steps: int | None = None
    perturbed: bool = False  # the A/A arm: weights times 1 + 1e-6 noise
    weights: "Cell | None" = None  # whose trained weights are read or trained further
    loss: OutputLoss | None = None  # what a training lowers; in the digest through `task`
    recipe: Recipe | None = None  # of a training; in the digest through `task`
    # A piece of a longer run, see lab/trend.py; both in the digest through `task`.
    goes_on: bool = False  # takes up the whole state of `weights`: its optimizer and its steps, which count as done
    keeps_state: bool = False  # leaves its whole state in place of its weights
    processes: int = 1  # that train together; in the digest through `task`, since sums are taken in another order
    compiler: str | None = None  # of a training; in the digest through `task`, since it changes bits
    # The seeds that are trained as one model with this one, itself among them; in the digest through `task`.
    stack: tuple[int, ...] = ()
    cost: float = 0.0  # FLOPs, for progress; not part of the digest

    @cached_property
    def digest(self) -> str:
        return digest(self.described())[:32]

    @cached_property
    def stacked(self) -> "tuple[Cell, ...]":
        """The cells that are computed together: those of its stack in order, or this one alone."""
        return tuple(replace(self, replicate=seed) for seed in self.stack) or (self,)

    @property
    def lead(self) -> "Cell":
        """The cell by which a worker is asked for this one: the first of its stack."""
        return self.stacked[0]

    @property
    def first(self) -> int:
        """Steps that were done before this training: those of the run that it is a piece of."""
        return (self.weights.steps or 0) if self.goes_on and self.weights is not None else 0

    @property
    def pieces(self) -> "list[Cell]":
        """The cells that together are this training, from the first step on."""
        before = self.weights.pieces if self.goes_on and self.weights is not None else []
        return [*before, self]

    def described(self) -> dict[str, Any]:
        """The JSON form that is hashed."""
        return {
            "kind": self.kind,
            "config": to_dict(self.config),
            "task": self.task,
            "revisions": self.revisions,
            "engine": ENGINE_REVISION,
            "replicate": self.replicate,
            "environment": asdict(self.environment),
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "perturbed": self.perturbed,
            "weights": None if self.weights is None else self.weights.digest,
        }


def revisions_of(*parts: Any) -> dict[str, int | str]:
    """Part -> revision over everything that a cell uses, and the hash of what code of it is not the package's."""
    merged: dict[str, int | str] = {**foreign_code(*parts)}
    for part in parts:
        merged |= revisions(part)
    return dict(sorted(merged.items()))
