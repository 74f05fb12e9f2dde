"""One run: a batch, a loss, a gradient, a step, an event; the same for every arm.

Everything that step k needs is a pure function of (weights, optimizer state, k), so a run may stop anywhere and go on
from its last checkpoint with the same bits.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paribus.attention.programs import Programs
from paribus.core.config import require
from paribus.data.source import Batches
from paribus.losses.output.base import OutputLoss
from paribus.models.given_input import given_input
from paribus.training.checkpoint import load_progress, save_progress
from paribus.training.objective import objective
from paribus.training.recipe import Recipe

PROGRAMS = "programs.json"  # beside the checkpoint: which programs were measured to be the fastest


@dataclass
class Outcome:
    """What a run came to. Seconds are measured and never compared bit by bit."""

    steps: int
    final_loss: float
    diverged: bool
    seconds: float = 0.0
    seconds_inside: float = 0.0  # of them in forward, backward and optimizer

    def note(self, journal: "Journal", step: int, loss: float, norm: float, rate: float, batch: str) -> None:
        """Tell the journal of a step that was made. A loss or gradient that is not finite: the run has diverged."""
        self.steps, self.final_loss = step + 1, loss
        # A gradient that is not finite has just made the weights so: no later loss would be a number.
        self.diverged = not (math.isfinite(loss) and math.isfinite(norm))
        told = {"loss": None, "norm": None} if self.diverged else {"loss": loss, "norm": norm}
        journal.event({"step": step, **told, "rate": rate, "batch": batch})


class Journal:
    """Where events go; this one forgets them."""

    def event(self, event: dict[str, Any]) -> None:
        """One training step."""

    def rewind(self, step: int) -> None:
        """Forget the events of `step` and later ones: a run goes on from there."""

    def flush(self) -> None:
        """Make what was told durable: a checkpoint is about to be written."""


def train(
    model: nn.Module,
    batches: Batches,
    recipe: Recipe,
    *,
    learning_rate: float,
    steps: int,
    loss: OutputLoss | None = None,
    journal: Journal | None = None,
    progress: Path | None = None,
    every_seconds: float = 20.0,
    start: Path | None = None,
    keep: Path | None = None,
    compiler: str | None = None,
) -> Outcome:
    """Train in place for `steps` steps.

    loss: what is lowered, by default the mean cross entropy of the logits; see `objective`.
    compiler: a backend of torch.compile for the model, such as "inductor"; it changes bits and pays for long runs only.
    The journal gets one event a step: {"step", "loss", "rate", "norm", "batch"}. With `progress`, the state is saved
    there about every `every_seconds`; an earlier one is taken up, and the journal cut back to it.
    A loss or gradient that is not finite ends the run as diverged.
    keep: where the whole state after the last step goes; start: such a state of an earlier run, whose steps count as
    done. A run in two pieces gives the bits of a run in one, if the schedule gives both the same rates.
    """
    device = next(model.parameters()).device
    whole: Any = model if compiler is None else torch.compile(model, backend=compiler)
    lowered = objective(whole, loss, recipe.dtype)  # before an earlier state is taken up: it may keep the start
    optimizer = recipe.optimizer.make(model)
    done = load_progress(model, optimizer, progress) if progress is not None else 0
    if start is not None and done == 0:
        done = load_progress(model, optimizer, start)
        require(0 < done <= steps, f"{start} holds no state of 1 to {steps} steps to go on from: make it again")
    programs = Programs(None if progress is None else progress.with_name(PROGRAMS))
    journal = journal or Journal()
    journal.rewind(done)
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    model.train()
    outcome = Outcome(steps=done, final_loss=math.nan, diverged=False)
    inside, began, saved = 0.0, time.perf_counter(), time.perf_counter()
    for step in range(done, steps):
        batch = batches.batch(step)
        tokens = torch.from_numpy(batch.tokens).to(device)
        targets = torch.from_numpy(batch.targets).to(device)
        rate = learning_rate * recipe.schedule(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        entered = time.perf_counter()
        with programs.at_work():
            lost = lowered(tokens, targets, **given_input(model, batch.prefix))
        lost.backward()
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        value, size = float(lost.detach()), float(norm)
        inside += time.perf_counter() - entered
        outcome.note(journal, step, value, size, rate, batch.digest)
        if outcome.diverged:
            break
        if progress is not None and time.perf_counter() - saved > every_seconds and step + 1 < steps:
            journal.flush()
            save_progress(model, optimizer, step + 1, progress)
            saved = time.perf_counter()
    if keep is not None and not outcome.diverged:
        save_progress(model, optimizer, steps, keep)
    outcome.seconds = time.perf_counter() - began
    outcome.seconds_inside = inside
    model.eval()
    return outcome
