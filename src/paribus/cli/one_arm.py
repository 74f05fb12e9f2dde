"""Train one arm outside of any verdict."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from paribus.core.config import require
from paribus.core.errors import ConfigError, InputError, nearest
from paribus.data.text_source import Text
from paribus.lab.claim import Trained
from paribus.lab.load import load
from paribus.layers.parameters import draw
from paribus.models.folder import save_model
from paribus.text.corpora import corpus_from_word
from paribus.training.loop import Journal
from paribus.training.loop import train as run

LOG_EVERY = 10.0  # seconds between lines where there is no terminal


class Told(Journal):
    """Shows the loss as it falls."""

    def __init__(self, console: Console, steps: int) -> None:
        self.console, self.steps, self.logged = console, steps, time.monotonic()
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("left"))
        self.bar = Progress(*columns, TimeRemainingColumn(compact=True), console=console)
        self.task = self.bar.add_task("", total=steps)

    def event(self, event: dict[str, Any]) -> None:
        loss = "not finite" if event["loss"] is None else f"{event['loss']:.3f}"
        text = f"step {event['step'] + 1}/{self.steps}, loss {loss} nats per token"
        self.bar.update(self.task, completed=event["step"] + 1, description=text)
        if not self.console.is_terminal and time.monotonic() - self.logged > LOG_EVERY:
            self.logged = time.monotonic()
            self.console.print(text)


def train_arm(
    word: str,
    arm_name: str | None,
    profile_name: str,
    tokens: int | None,
    learning_rate: float | None,
    seed: int,
    corpus: str | None,
    threads: int | None,
    out: Path,
) -> None:
    name, claim = load(word)
    if not isinstance(claim.task, Trained):
        raise ConfigError(f"{name} is a measured claim: nothing in it is trained")
    arms = {arm.name: arm for arm in claim.trained_arms() if arm.starts_from is None}
    if arm_name is not None and arm_name not in arms:
        raise InputError(f"no arm {arm_name!r} is trained from scratch; {nearest(arm_name, arms)}")
    if out.exists() and any(out.iterdir()) and not (out / "model.json").exists():
        raise InputError(f"{out} holds other files: choose an empty or new folder with --out")
    arm = arms[arm_name] if arm_name is not None else next(iter(arms.values()))
    profile, task = claim.profile(profile_name), claim.task
    data = task.data
    if corpus is not None:
        if not isinstance(data, Text):
            raise InputError(f"--corpus {corpus}: this claim is trained on {type(data).__name__}, not on text")
        data = replace(data, corpus=corpus_from_word(corpus))
    torch.set_num_threads(threads or os.cpu_count() or 1)
    console = Console(highlight=False)
    assert profile.budget is not None
    per_step = task.recipe.batch * task.train_length
    steps = max(1, round((tokens or profile.budget.tokens) / per_step))
    rate = learning_rate or sorted(profile.learning_rates)[len(profile.learning_rates) // 2]
    require(rate > 0, f"learning_rate = {rate}: expected a positive number such as 0.002")
    stream = data.prepare()
    model = arm.config.build()
    draw(model, seed)
    told = Told(console, steps)
    console.print(f"{name}, arm {arm.name}: {steps} steps of {per_step} tokens at rate {rate:g}, seed {seed}")
    batches = stream.batches(seed=seed, batch=task.recipe.batch, length=task.train_length)
    if console.is_terminal:
        with told.bar:
            outcome = run(model, batches, task.recipe, learning_rate=rate, steps=steps, journal=told)
    else:
        outcome = run(model, batches, task.recipe, learning_rate=rate, steps=steps, journal=told)
    if outcome.diverged:
        raise InputError(f"the loss was not finite at step {outcome.steps}: nothing is saved; use a smaller rate")
    origin = {
        "claim": name,
        "arm": arm.name,
        "seed": seed,
        "learning_rate": rate,
        "steps": steps,
        "train_length": task.train_length,
        "manifest": stream.manifest.get("digest", ""),
    }
    save_model(model, arm.config, data, origin, out)
    speed = steps * per_step / outcome.seconds
    console.print(f"last loss {outcome.final_loss:.3f} nats per token, {speed:,.0f} tokens/s; saved in {out}")
