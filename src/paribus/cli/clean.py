"""`paribus clean`: what runs no longer need, shown first and deleted when it is agreed to."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paribus.cli.runs import DEFAULT, Folder, size, survey
from paribus.core.errors import InputError, ParibusError

if TYPE_CHECKING:
    from paribus.lab.clean import Removal

Days = Annotated[float, typer.Option(metavar="DAYS", min=0, help="After which a run that was broken off goes.")]
Results = Annotated[bool, typer.Option("--results", help="Of finished runs keep only plan, verdict and reports.")]
Yes = Annotated[bool, typer.Option("--yes", help="Delete without asking.")]


def clean(
    folder: Folder = None,
    older_than: Days = 30.0,
    results: Results = False,
    yes: Yes = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; deletes only with --yes.")] = False,
) -> None:
    """Delete what runs no longer need, after showing it.

    Weights and leftovers of finished runs, and runs that were broken off long ago. Verdicts, results, events and
    reports of finished runs stay, a run at work is never touched, nor is a file that is not paribus's.
    """
    from paribus.lab.clean import removals

    where: Path = folder or DEFAULT
    found, kept = removals(survey(where), older_than, results)
    total = sum(one.bytes for one in found)
    if json:
        told = [{"run": str(one.run), "why": one.why, "files": len(one.files), "bytes": one.bytes} for one in found]
        freed, problems = delete(found) if yes else (0, [])
        answer = {"removals": told, "kept": kept, "bytes": total, "freed": freed, "problems": problems}
        sys.stdout.write(json_module.dumps(answer, indent=1, ensure_ascii=False) + "\n")
        raise typer.Exit(1 if problems else 0)
    show(found, kept)
    if not found:
        typer.echo(f"nothing to clean in {where}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nothing was deleted: there is no terminal to ask on; look at the list and add --yes")
        if not typer.confirm(f"Delete these {size(total)}?"):
            typer.echo("nothing was deleted")
            return
    freed, problems = delete(found)
    typer.echo(f"{size(freed)} freed")
    if problems:
        raise ParibusError("; ".join(problems))


def delete(found: "list[Removal]") -> tuple[int, list[str]]:
    """Bytes freed, and what could not be deleted; one run's trouble does not stop the next."""
    from paribus.lab.clean import remove

    freed, problems = 0, []
    for one in found:
        try:
            freed += remove(one)
        except ParibusError as error:
            problems.append(str(error))
    return freed, problems


def show(found: "list[Removal]", kept: list[str]) -> None:
    for one in found:
        typer.echo(f"{one.run}: {one.why}; {len(one.files)} files, {size(one.bytes)}")
        if one.foreign:
            names = ", ".join(str(path.relative_to(one.run)) for path in one.foreign[:3])
            typer.echo(f"  its folder stays, because of what is not paribus's: {names}")
    for sentence in kept:
        typer.echo(f"stays: {sentence}")
