"""`paribus runs`: what lies in a folder of runs, from an index over its files."""

import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paribus.lab.catalogue import Line

Folder = Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder of runs, or one run.")]
DEFAULT = Path("paribus-runs")


def runs(folder: Folder = None, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the runs in a folder, ./paribus-runs by default.

    Claim, profile, state (done, broken off, running, damaged), finished cells, cost and verdict of each.
    """
    lines = survey(folder or DEFAULT)
    if json:
        told = [{**asdict(line), "path": str(line.path)} for line in lines]
        sys.stdout.write(json_module.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return
    show(lines, folder or DEFAULT)


def survey(folder: Path) -> "list[Line]":
    """The runs of a folder, or the one run that the folder is. Raises RunFolderError where there is no folder."""
    from paribus.core.errors import RunFolderError
    from paribus.lab.catalogue import catalogue, catalogue_of
    from paribus.lab.folder import PLAN
    from paribus.lab.on_disk import RunOnDisk

    if (folder / PLAN).is_file():
        with catalogue_of([RunOnDisk(folder)], folder.parent) as found:
            return found.lines()
    if folder == DEFAULT and not folder.exists():
        raise RunFolderError(
            f"there is no folder {DEFAULT} here: `paribus check CLAIM` makes it; for runs in another place give their "
            "folder: paribus runs DIR"
        )
    with catalogue(folder) as found:
        return found.lines()


def show(lines: "list[Line]", folder: Path) -> None:
    if not lines:
        typer.echo(f"no runs in {folder}: none of its folders has a plan.json")
        return
    rows = [("run", "claim", "profile", "state", "cells", "cost", "size", "verdict")]
    for line in lines:
        cells = str(line.cells)
        if line.state != "done" and line.planned is not None:
            cells += f" of {max(line.planned, line.cells)}"
        claim = f"{line.claim} {line.version}" if line.claim else "-"
        cost = f"{line.seconds / 60:.1f} core-min"
        rows.append(
            (line.run, claim, line.profile or "-", line.state, cells, cost, size(line.bytes), line.verdict or "-")
        )
    typer.echo(columns(rows))
    for line in lines:
        if line.problem:
            typer.echo(f"{line.run}: {line.problem}")
        elif line.state == "broken off" and line.command:
            typer.echo(f"{line.run} goes on with: {line.command}")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as text, each column as wide as its longest word: never cut, whatever the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def size(count: int) -> str:
    """Bytes in words: 3.1 MiB."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
