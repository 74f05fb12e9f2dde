"""`paribus compare FILE.py`: a claim of the user's own, run like one of the library's."""

from typing import Annotated

import typer

from paribus.cli.check import AsJson, Jobs, OnlyPlan, Out, ProfileName, Seeds, Timeout, Where
from paribus.core.errors import InputError

File = Annotated[str, typer.Argument(metavar="FILE.py", help="A file with `claim = Claim(...)`; see `paribus new`.")]


def compare(
    file: File,
    profile: ProfileName = "laptop",
    seeds: Seeds = None,
    jobs: Jobs = None,
    out: Out = None,
    plan: OnlyPlan = False,
    json: AsJson = False,
    executor: Where = "local",
    timeout: Timeout = None,
) -> None:
    """Run the claim in your own file; options and exit codes are those of `paribus check`."""
    from paribus.cli.conduct import conduct

    if not file.endswith(".py"):
        raise InputError(f"{file!r} is no Python file: compare takes FILE.py; a claim of the library runs by `check`")
    raise typer.Exit(conduct(file, profile, seeds, jobs, out, plan, json, executor, timeout))
