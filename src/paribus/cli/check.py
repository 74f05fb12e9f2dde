"""`paribus check CLAIM`: plan, train, read, judge, report."""

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(metavar="CLAIM", help="A claim's name; `paribus claims` lists them.")]
ProfileName = Annotated[str, typer.Option("--profile", metavar="NAME", help="smoke, laptop, hour or gpu.")]
Seeds = Annotated[int | None, typer.Option(help="How many verdict seeds, instead of the profile's.")]
Jobs = Annotated[int | None, typer.Option(help="Worker processes at once; by default one per core or GPU.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; by default paribus-runs/CLAIM-PROFILE-PLAN.")]
Where = Annotated[
    str, typer.Option("--executor", metavar="WORD", help="local, slurm or ray; slurm and ray need --jobs.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=1,
        help="Silence after which a worker is stopped and its cell tried again; by default 20 times its estimate.",
    ),
]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Print sizes, cost and power, and spend nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, progress on stderr.")]


def check(
    claim: Name,
    profile: ProfileName = "laptop",
    seeds: Seeds = None,
    jobs: Jobs = None,
    out: Out = None,
    plan: OnlyPlan = False,
    json: AsJson = False,
    executor: Where = "local",
    timeout: Timeout = None,
) -> None:
    """Re-check a claim and give a verdict.

    Its arms are trained under equal budgets, on the same bytes in the same order, with paired seeds.

    Exit code: 0 reproduced, 10 contradicted, 11 equivalent, 12 undecided, 1 failure, 2 bad input, 130 interrupted.
    """
    from paribus.cli.conduct import conduct

    raise typer.Exit(conduct(claim, profile, seeds, jobs, out, plan, json, executor, timeout))
