"""`paribus verify RUN/verdict.json`: the verdict again, from the raw cells."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    verdict: Annotated[Path, typer.Argument(help="verdict.json in its run folder, or the folder.")],
    claim: Annotated[
        str | None, typer.Option(metavar="FILE", help="The claim's file, where its metric is your own.")
    ] = None,
) -> None:
    """Recompute a verdict from its raw cells.

    Exit code 0: every number agrees; 1: something does not, and what.
    """
    from paribus.core.errors import ParibusError
    from paribus.lab.load import load
    from paribus.lab.verify import verify as check

    path = verdict / "verdict.json" if verdict.is_dir() else verdict
    if claim is not None:
        load(claim)  # makes its parts known
    problems = check(path)
    if problems:
        raise ParibusError(f"{path} cannot be verified:\n  " + "\n  ".join(problems))
    typer.echo(f"{path}: every number follows from its cells")
