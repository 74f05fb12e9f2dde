"""Train one arm outside of any verdict."""

import os
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from paribus.attention.programs import overheard
from paribus.cli.device import device_from_word
from paribus.cli.progress import clock
from paribus.cli.unfinished import going_on, ours
from paribus.core.config import require
from paribus.core.errors import ConfigError, InputError, Interrupted, nearest
from paribus.data.text_source import Text
from paribus.lab.cell import Environment
from paribus.lab.claim import Claim, Trained
from paribus.lab.load import load
from paribus.lab.plan import make_plan
from paribus.lab.work import build
from paribus.models.folder import DESCRIPTION, WEIGHTS, save_model
from paribus.text.corpora import corpus_from_word
from paribus.tokenizer.bytepiece import BytePiece
from paribus.training.loop import Journal
from paribus.training.loop import train as run

LOG_EVERY = 10.0  # seconds between lines where there is no terminal


class Told(Journal):
    """Shows the loss as it falls."""

    def __init__(self, console: Console, steps: int) -> None:
        self.console, self.steps, self.first = console, steps, 0
        self.began = self.logged = time.monotonic()
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("left"))
        self.bar = Progress(*columns, TimeRemainingColumn(compact=True), console=console)
        self.task = self.bar.add_task("", total=steps)

    def rewind(self, step: int) -> None:
        self.first = step
        if step:
            self.bar.update(self.task, completed=step)
            self.console.print(f"goes on from step {step} of {self.steps}, where it was interrupted")

    def event(self, event: dict[str, Any]) -> None:
        loss = "not finite" if event["loss"] is None else f"{event['loss']:.3f}"
        text = f"step {event['step'] + 1}/{self.steps}, loss {loss} nats per token"
        self.bar.update(self.task, completed=event["step"] + 1, description=text)
        now, done = time.monotonic(), event["step"] + 1
        if not self.console.is_terminal and now - self.logged > LOG_EVERY:
            self.logged = now
            left = (self.steps - done) * (now - self.began) / (done - self.first)
            self.console.print(f"{text}, {clock(left)} left")


def train_arm(
    word: str,
    arm_name: str | None,
    profile_name: str,
    tokens: int | None,
    learning_rate: float | None,
    seed: int,
    corpus: str | None,
    tokenizer: str | None,
    threads: int | None,
    device: str,
    checkpoint_every: float,
    out: Path,
) -> None:
    require(tokens is None or tokens >= 1, f"--tokens {tokens}: expected at least 1")
    require(threads is None or threads >= 1, f"--threads {threads}: expected at least 1")
    require(
        learning_rate is None or 0 < learning_rate < float("inf"),
        f"--learning-rate {learning_rate}: expected a positive number such as 0.002",
    )
    place = device_from_word(device)
    require(checkpoint_every >= 0, f"--checkpoint-every {checkpoint_every}: expected seconds, 0 for every step")
    name, claim = load(word)
    task = claim.task
    if not isinstance(task, Trained):
        raise ConfigError(f"{name} is a measured claim: nothing in it is trained")
    arms = [arm.name for arm in claim.trained_arms() if arm.starts_from is None]
    if arm_name is not None and arm_name not in arms:
        raise InputError(f"no arm {arm_name!r} is trained from scratch; {nearest(arm_name, arms)}")
    arm_name = arm_name or arms[0]
    if corpus is not None:
        if not isinstance(task.data, Text):
            raise InputError(f"--corpus {corpus}: this claim is trained on {type(task.data).__name__}, not on text")
        task = replace(task, data=replace(task.data, corpus=corpus_from_word(corpus)))
        claim = replace(claim, task=task)
    if tokenizer is not None:
        claim = with_tokenizer(claim, tokenizer)
        assert isinstance(claim.task, Trained)
        task = claim.task
    profile = claim.profile(profile_name)
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    make_room(out)
    arm = claim.arm(arm_name)
    data = claim.data_of(arm)
    stream = data.prepare()
    plan = make_plan(claim, name, profile_name, Environment.here(place.type, threads), stream.manifest)
    steps = plan.steps if tokens is None else max(1, round(tokens / plan.tokens_per_step))
    grid = sorted(profile.learning_rates)
    rate = grid[len(grid) // 2] if learning_rate is None else learning_rate
    cell = plan.training(arm, rate, seed, steps)
    console = Console(highlight=False)
    told = Told(console, steps)
    console.print(
        f"{name}, arm {arm_name}: {steps} steps of {plan.tokens_per_step} {plan.counted} at rate {rate:g}, seed {seed}"
    )
    batches = stream.batches(seed=seed, batch=task.recipe.batch, length=task.train_length, span=task.span)
    with going_on(out, cell) as progress:
        model = build(cell, place)
        try:
            with told.bar if console.is_terminal else nullcontext(), overheard() as programs:
                outcome = run(
                    model,
                    batches,
                    task.recipe,
                    learning_rate=rate,
                    steps=steps,
                    loss=arm.loss,
                    journal=told,
                    compiler=cell.compiler,
                    progress=progress,
                    every_seconds=checkpoint_every,
                )
        except KeyboardInterrupt as error:
            kept = "its last checkpoint" if progress.exists() else "the start, since no checkpoint was due yet"
            raise Interrupted(f"interrupted: the same command goes on from {kept}") from error
        if not outcome.diverged:
            origin = {
                "claim": name,
                "arm": arm_name,
                "seed": seed,
                "learning_rate": rate,
                "steps": steps,
                "train_length": task.train_length,
                "manifest": stream.manifest.get("digest", ""),
            }
            save_model(model, cell.config, data, origin, out)
    if outcome.diverged:
        raise InputError(f"the loss was not finite at step {outcome.steps}: nothing is saved; use a smaller rate")
    for shape, reasons in programs.items():
        console.print(f"attention, {shape}: {'; '.join(reasons)}", soft_wrap=True)
    speed = (steps - told.first) * plan.tokens_per_step / outcome.seconds
    console.print(f"last loss {outcome.final_loss:.3f} nats per token, {speed:,.0f} {plan.counted}/s; saved in {out}")


def with_tokenizer(claim: Claim, word: str) -> Claim:
    """The claim on text through another tokenizer, its models with heads of that many tokens."""
    task = claim.task
    if not isinstance(task, Trained) or not isinstance(task.data, Text) or task.span is not None:
        raise InputError(f"--tokenizer {word}: this claim's arms do not read text through one tokenizer")
    if word != "bytepiece" and not word.endswith(".bp"):
        raise InputError(f"--tokenizer {word}: expected bytepiece, or a .bp file of `paribus tokenizer train`")
    own = BytePiece() if word == "bytepiece" else BytePiece(path=os.path.abspath(word))
    without = [arm.name for arm in claim.arms if not hasattr(arm.config, "vocab_size")]
    if without:
        raise InputError(f"--tokenizer {word}: arm {without[0]!r} has no vocab_size that could be set")
    arms = [replace(arm, config=replace(arm.config, vocab_size=own.vocab_size)) for arm in claim.arms]
    return replace(claim, task=replace(task, data=replace(task.data, tokenizer=own)), arms=arms)


def make_room(out: Path) -> None:
    """A folder for the model, made before the training is paid for; one that holds anything else is refused."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {entry.name.removesuffix(".partial") for entry in out.iterdir() if not ours(entry.name)}
    except OSError as error:
        raise InputError(
            f"cannot save a model in {out} ({error.strerror}): choose another folder with --out"
        ) from error
    if names - {DESCRIPTION, WEIGHTS}:
        raise InputError(f"{out} holds other files: choose an empty or new folder with --out")
    if not os.access(out, os.W_OK):
        raise InputError(f"cannot write in {out}: choose another folder with --out")
