"""`paribus new claim NAME`: a commented claim to start from."""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from paribus.core.errors import InputError
from paribus.lab.index import claim_files


def new(
    kind: Annotated[str, typer.Argument(metavar="claim", help="What to write: claim.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="In lower case, words joined by '-' or '_'.")],
) -> None:
    """Write a commented claim of your own.

    It goes to NAME.py and runs as it is: `paribus compare NAME.py --profile smoke`.
    """
    if kind != "claim":
        raise InputError(f"unknown kind {kind!r}: `paribus new claim NAME` is what there is")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise InputError(f"{name!r} is no name for a claim: use lower-case letters, digits and '-', such as my-idea")
    if name.replace("_", "-") in claim_files():
        raise InputError(
            f"{name!r} is a claim of the library already (`paribus claims` lists it): choose another name, or the runs "
            "and verdicts of two claims would go by one"
        )
    path = Path(name.replace("-", "_") + ".py")
    template = resources.files("paribus.cli").joinpath("new_claim.py.txt").read_text(encoding="utf-8")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError as error:
        raise InputError(f"{path} exists already: choose another name, or delete it") from error
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): run this in a folder that you may write") from error
    typer.echo(f"{path} is written. Edit it, then:\n  paribus compare {path} --plan\n  paribus compare {path}")
