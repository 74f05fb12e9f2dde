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
    """Recompute a verdict from its plan and raw cells.

    Exit code 0: all that can be recomputed agrees; 1: something does not, and what. Times, costs and the machine cannot
    be, nor that a cell's numbers are what its training gives: only training again tells.
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
    typer.echo(
        f"{path}: cells, rates, A/A, predictions, rankings and the word follow from the plan and the cells' files. Not "
        "checked: what is `measured`, the matching of models of your own, and that a cell's numbers are what its "
        "training gives"
    )
