"""`paribus claims`: the list, from an index, so that it answers at once."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.core.errors import InputError, nearest


def claims(
    names: Annotated[list[str] | None, typer.Argument(help="Claims to list, by default all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="In a checkout: write the index anew.")] = False,
    keep: Annotated[list[Path] | None, typer.Option(help="In a checkout: keep a run's verdict in docs/claims.")] = None,
) -> None:
    """List the claims and their last verdicts.

    With source, arms, profiles and cost of each.
    """
    from paribus.lab.index import claim_files, read_index

    if keep or refresh:
        from paribus.cli.keep import keep_verdict, write_index

        kept = [keep_verdict(run) for run in keep or []]
        write_index()
        names = [*(names or []), *kept]
    index = read_index()
    stale = [name for name in claim_files() if name not in index]
    if stale:
        from paribus.lab.index import describe

        index |= {name: describe(name) for name in stale}
    unknown = [name for name in names or [] if name not in index]
    if unknown:
        raise InputError(f"there is no claim {unknown[0]}: {nearest(unknown[0], index)}")
    index = {name: index[name] for name in sorted(names or index)}
    if json:
        sys.stdout.write(json_module.dumps(index, indent=1, ensure_ascii=False) + "\n")
        return
    show(index)


def show(index: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for name, entry in index.items():
        console.print(Text(name, style="bold"), Text(f"version {entry['version']}", style="dim"))
        console.print(Text("  " + entry["statement"]))
        console.print(Text("  source   " + entry["source"], style="dim"))
        console.print(Text("  arms     " + ", ".join(entry["arms"]), style="dim"))
        for profile, cost in entry["profiles"].items():
            last = entry["verdicts"].get(profile)
            told = "no verdict kept"
            if last:
                older = "" if last["version"] == entry["version"] else f" of version {last['version']}"
                told = f"{last['verdict']}{older} ({last['day']}, {last['seconds'] / 60:.0f} core-minutes)"
            work = "" if cost["flops"] is None else f", {cost['flops']:.1e} FLOPs"
            console.print(Text(f"  {profile:<8} {cost['cells']} cells, {cost['seeds']} seeds{work}: {told}"))
    if not index:
        raise InputError("there are no claims in this installation")
