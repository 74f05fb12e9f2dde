"""What `check` and `compare` share: from a word on the command line to a verdict and its report."""

import json
import os
import platform
import shlex
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from paribus.cli.elsewhere import LOCAL, Make, elsewhere
from paribus.cli.plan_view import plan_json, plan_table, too_few
from paribus.cli.progress import Display
from paribus.core.errors import ConfigError, Interrupted
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Stream
from paribus.lab.cell import Environment
from paribus.lab.claim import Arm, Claim, Profile, Trained
from paribus.lab.estimate import Estimate, check_room, estimate
from paribus.lab.executors.local import LocalExecutor
from paribus.lab.folder import ABOUT, RunFolder
from paribus.lab.load import load
from paribus.lab.pace import Pace
from paribus.lab.plan import Plan, make_plan
from paribus.lab.plan import plan_json as plan_text
from paribus.lab.run import Run
from paribus.lab.work import CHECKPOINT_SECONDS, DEV_WINDOWS

LENGTH_TOLERANCE = 0.05  # the same corpus differs a little between versions of Python
THREADS = 1  # per worker: two one-thread processes beat one two-thread process


def conduct(
    word: str,
    profile_name: str,
    seeds: int | None,
    jobs: int | None,
    out: Path | None,
    only_plan: bool,
    as_json: bool,
    where: str = LOCAL,
    timeout: float | None = None,
) -> int:
    """Plan and run a claim; the exit code of its verdict."""
    console = Console(stderr=as_json, highlight=False)
    # What a user's file or model prints must not mix with the JSON.
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        code, told = _conduct(word, profile_name, seeds, jobs, out, only_plan, as_json, where, timeout, console)
    if as_json:
        sys.stdout.write(json_text(told))
    return code


def _conduct(
    word: str,
    profile_name: str,
    seeds: int | None,
    jobs: int | None,
    out: Path | None,
    only_plan: bool,
    as_json: bool,
    where: str,
    timeout: float | None,
    console: Console,
) -> tuple[int, dict[str, Any]]:
    """The exit code, and the plan or the verdict as JSON."""
    make: Make = LocalExecutor if where == LOCAL else elsewhere(where, jobs)
    plan, data = prepare(word, profile_name, seeds, console)
    jobs = workers(plan.profile, jobs)
    cost = estimate(plan, jobs)
    folder = out or Path("paribus-runs") / f"{plan.name}-{plan.profile_name}-{plan.digest[:8]}"
    if only_plan:
        if not as_json:
            plan_table(console, plan, cost, jobs, folder)
        return 0, plan_json(plan, cost, jobs, folder)
    check_room(cost, jobs if where == LOCAL else 1, folder)  # the other machines' memory is not seen from here
    console.print(f"[bold]{escape(plan.claim.title or plan.name)}[/bold]: {escape(plan.claim.statement)}")
    if short := too_few(plan):
        console.print(escape(short), style="yellow", soft_wrap=True)
    settings = {
        "claim": word if not word.endswith(".py") else str(Path(word).resolve()),
        "profile": profile_name,
        "seeds": seeds,
        "threads": plan.environment.threads,
        "device": plan.profile.device,
        "folder": str(folder.resolve()),
        "data": None if data is None else str(data),
        "checkpoint_seconds": CHECKPOINT_SECONDS,
        "gpus": torch.cuda.device_count(),
        "processes": plan.profile.processes,
        "timeout": timeout,
        "speed": cost.speed,
        "reading": dict(cost.reading),
    }
    executor = make(jobs, settings)
    with RunFolder(folder).opened(plan_text(plan)) as run_folder:
        run_folder.write(ABOUT, json_text(about(word, profile_name, seeds, out, cost)))
        try:
            with Display(console, cost) as display:
                record = Run(plan, run_folder, executor, display.watch, Pace(cost.price, jobs)).carry_out()
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"interrupted; finished cells are kept in {folder}, and the same command goes on from them"
            ) from error
        finally:
            executor.close()
        verdict = record.verdict_json()
        run_folder.write("verdict.json", json_text(verdict))
        from paribus.lab.report.write import write_report  # draws figures: nothing else needs what that loads

        report = write_report(record)
    for outcome in record.verdict.outcomes:
        low, high = outcome.evidence.ci95
        console.print(
            f"  {outcome.word:<12} {escape(outcome.prediction.sentence(outcome.measure.unit))}: "
            f"{outcome.paired.mean:+.4f} [{low:+.4f}, {high:+.4f}]",
            soft_wrap=True,
        )
    console.print(f"[bold]verdict: {record.verdict.word}[/bold]   report: {report}", soft_wrap=True)
    return record.verdict.exit_code, verdict


def about(word: str, profile_name: str, seeds: int | None, out: Path | None, cost: Estimate) -> dict[str, Any]:
    """The contents of run.json: the command that goes on with this run, who began it, and how many cells it has."""
    words = ["paribus", "compare" if word.endswith(".py") else "check", word, "--profile", profile_name]
    words += [] if seeds is None else ["--seeds", str(seeds)]
    words += [] if out is None else ["--out", str(out)]
    return {
        "schema": "paribus.run/1",
        "command": shlex.join(words),
        "directory": os.getcwd(),
        "host": platform.node(),
        "process": os.getpid(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cells": cost.cells,
    }


def prepare(word: str, profile_name: str, seeds: int | None, console: Console) -> tuple[Plan, Path | None]:
    """Load the claim, read its corpus, solve its sizes: the plan, and where workers find the data."""
    name, claim = load(word)
    profile = claim.profile(profile_name)
    environment = environment_of(profile)
    manifest: dict[str, Any] = {}
    path: Path | None = None
    if isinstance(claim.task, Trained):
        with console.status("reading the data"):
            stream = claim.task.data.prepare()
            check_data(claim, stream)
        manifest, path = stream.manifest, stream.path
    return make_plan(claim, name, profile_name, environment, manifest, seeds), path


def check_data(claim: Claim, stream: Stream) -> None:
    """Take one of everything that the run will read: what is too small shows now, and not after the training."""
    assert isinstance(claim.task, Trained)
    task, length, span = claim.task, claim.task.train_length, claim.task.span
    for data in dict.fromkeys(map(claim.data_of, claim.arms)):
        opened = stream if data == task.data else data.open(stream.path)
        opened.batches(seed=0, batch=task.recipe.batch, length=length, span=span).batch(0)
        opened.windows("dev", DEV_WINDOWS, length, span)
        task.metric.held_out(opened)
    for arm in claim.arms:
        if arm.length is not None:
            check_length(arm, claim.data_of(arm).open(stream.path).windows("train", DEV_WINDOWS, length, span))


def check_length(arm: Arm, windows: Batch) -> None:
    """Spans of training text are as long in the arm's tokens as it says, since its prices rest on that."""
    found = 1 + np.count_nonzero(windows.targets != IGNORED) / DEV_WINDOWS
    if abs(found / (arm.length or 1) - 1) > LENGTH_TOLERANCE:
        raise ConfigError(
            f"arm {arm.name!r} says that a span is {arm.length} of its tokens long, in this text it is {found:.1f} on "
            f"average: write length={found:.0f}"
        )


def environment_of(profile: Profile) -> Environment:
    if profile.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("this profile needs a CUDA GPU and torch sees none: take another --profile")
    if profile.device == "cuda" and profile.processes > (count := torch.cuda.device_count()):
        raise ConfigError(
            f"this profile trains on {profile.processes} GPUs at once and torch sees {count}: take another --profile, "
            "or start it on a machine that has them"
        )
    torch.set_num_threads(THREADS)
    return Environment.here(profile.device, THREADS)


def workers(profile: Profile, jobs: int | None) -> int:
    """How many processes: what was asked for, or one per core or GPU."""
    if jobs is not None:
        if jobs < 1:
            raise ConfigError(f"--jobs {jobs}: expected at least 1")
        return jobs
    if profile.device == "cuda":
        count = torch.cuda.device_count()
    else:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // profile.processes)


def json_text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
