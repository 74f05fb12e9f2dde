"""`paribus merge RUN RUN...`: the finished cells of several folders in one run."""

import json as json_module
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.runs import DEFAULT

if TYPE_CHECKING:
    from paribus.lab.merge import Merged
    from paribus.lab.on_disk import RunOnDisk

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one plan.")]
Out = Annotated[
    Path | None, typer.Option(help="Where to; by default paribus-runs/CLAIM-PROFILE-PLAN, where the run itself looks.")
]


def merge(
    runs: Runs, out: Out = None, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Put the finished cells of several folders into one run.

    Nothing is computed and no source is changed; the same `paribus check` then finds the cells and finishes. Folders of
    other plans, data, revisions or environments are refused.
    """
    from paribus.lab.catalogue import catalogue_of
    from paribus.lab.folder import ABOUT, RunFolder
    from paribus.lab.merge import merge as carry_out
    from paribus.lab.on_disk import RunOnDisk

    first = RunOnDisk(runs[0])
    default = DEFAULT / f"{first.plan['claim']}-{first.plan['profile']}-{first.plan_digest[:8]}"
    target = out or default
    done = carry_out(runs, target)
    about = _about(
        [RunOnDisk(path) for path in (target, *runs)], None if target.resolve() == default.resolve() else target
    )
    if about and not (target / ABOUT).exists():
        RunFolder(target).write(ABOUT, json_module.dumps(about, indent=1, ensure_ascii=False) + "\n")
    with catalogue_of([RunOnDisk(target)], target.parent) as found:
        (line,) = found.lines()
    told = {
        "folder": str(target),
        "there": done.there,
        "taken": {str(path): count for path, count in done.taken.items()},
        "unfinished": {str(path): count for path, count in done.unfinished.items()},
        "left_out": list(done.left_out),
        "cells": line.cells,
        "planned": line.planned,
        "command": line.command,
    }
    if json:
        sys.stdout.write(json_module.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return
    show(done, line.cells, line.planned, line.command)


def show(done: "Merged", cells: int, planned: int | None, command: str) -> None:
    for path, count in done.taken.items():
        typer.echo(f"{path}: {count} cells taken")
    for path, count in done.unfinished.items():
        typer.echo(f"{path}: {count} unfinished cells left there; to keep their work, let the run finish there first")
    for sentence in done.left_out:
        typer.echo(f"left out: {sentence}")
    typer.echo(f"{done.target}: {cells}{'' if planned is None else f' of {max(planned, cells)}'} cells")
    if command:
        typer.echo(f"go on with: {command}")


def _about(runs: "list[RunOnDisk]", out: Path | None) -> dict[str, Any]:
    """run.json for the merged run: the command of the first that has one, sent to the new place."""
    for run in runs:
        words = shlex.split(run.about.get("command", ""))
        if not words:
            continue
        if "--out" in words:
            at = words.index("--out")
            del words[at : at + 2]
        words += [] if out is None else ["--out", str(out)]
        return {**run.about, "command": shlex.join(words)}
    return {}
