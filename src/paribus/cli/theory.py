"""`paribus theory sparsity|scaling|partition|rope-base`: numbers in, numbers out, and a picture where it says more."""

from collections.abc import Sequence
from json import dumps
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="theory",
    help="Bounds, laws and measures, for numbers and files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture: .svg, .png or .pdf.")]
LENGTHS = [f"{1 << k}k" for k in range(8)]


@app.command()
def partition(
    numbers: Annotated[
        list[str],
        typer.Argument(metavar="N|FILE...", help="Non-negative integers of any size, or files of them; - is stdin."),
    ],
    json: AsJson = False,
) -> None:
    """The least a + b + c with N = a b + c.

    The time grows as N^(1/6): some 50 ms at 10^30, ten times that for every six digits more.
    """
    from paribus.cli.theory_input import integers
    from paribus.theory.partition import partition as solve

    rows = []
    for n in integers(numbers):
        found = solve(n)
        rows.append({"N": n, "a": found.a, "b": found.b, "c": found.c, "sum": found.total, "rounds": found.rounds})
    _show(rows, json)


@app.command("rope-base")
def rope_base(
    lengths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LENGTH...]", help="As 4096, 32k or 1M (1k = 1024); by default 1k..128k."),
    ] = None,
    head_dim: Annotated[int, typer.Option(help="Dimensions of a head, even.")] = 128,
    rotary_fraction: Annotated[float, typer.Option(help="The part of a head that is rotated.")] = 1.0,
    base: Annotated[float | None, typer.Option(help="Judge this base too.")] = None,
    gap_free: Annotated[bool, typer.Option(help="Where the gap-free band starts; minutes at 1M.")] = True,
    plot: Plot = None,
    json: AsJson = False,
) -> None:
    """The smallest base that RoPE needs for a length, and the base from which on every base will do.

    Feasible bases come in islands: a base above the bound can fail. Judge the base that you use by --base.
    """
    from paribus.cli.theory_input import length_of
    from paribus.theory import rope_base as law

    _ready(plot)
    wanted = sorted({length_of(word) for word in lengths or LENGTHS})
    bounds = law.lower_bounds(wanted, head_dim, rotary_fraction)
    rows: list[dict[str, Any]] = []
    for length, bound in bounds.items():
        row: dict[str, Any] = {"length": length, "bound": bound}
        if gap_free:
            row["gap_free_from"] = law.gap_free(length, head_dim, rotary_fraction)
        if base is not None:
            row["feasible"] = law.is_feasible(base, length, head_dim, rotary_fraction)
        rows.append(row)
    notes = ["rounded; a base just below a bound, or between islands, fails: judge yours by --base"]
    if base is not None:
        limit = 1 << 22
        longest = law.max_length(base, head_dim, rotary_fraction, limit)
        more = " or more" if longest == limit else ""
        notes.append(f"base {base:g} is feasible for every length up to {longest}{more}")
    if bounds[wanted[0]] == 1:
        notes.append("a bound of 1 means no constraint: every base will do")
    if bounds[wanted[-1]] == float("inf"):
        notes.append("inf: no base will do, a head of one pair turns against itself at distance 2")
    if plot is not None:
        from paribus.cli.theory_plots import plot_bases

        plot_bases(rows, head_dim, base, plot)
    _show(rows, json, notes, {"head_dim": head_dim, "rotary_fraction": rotary_fraction, "base": base})


@app.command()
def sparsity(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...|X...",
            help="Files with rows of numbers, .npy, .json or text (- is stdin); or the numbers of one row.",
        ),
    ],
    rows: Annotated[bool, typer.Option("--rows", help="One line per row, not the median over all rows.")] = False,
    plot: Plot = None,
    json: AsJson = False,
) -> None:
    """How sparse each row is. For l1/l2 and the like smaller is sparser, for hoyer, gini, divergence larger."""
    from statistics import median

    from paribus.cli.theory_input import vectors
    from paribus.theory.sparsity import MEASURES

    _ready(plot)
    table: list[dict[str, Any]] = []
    data = []
    for file, found in vectors(given):
        for number, row in enumerate(found):
            measured = {m.name: _measured(m.function, row, f"{file}, row {number}") for m in MEASURES}
            table.append({"file": file, "row": number, "n": len(row)} | measured)
            data.append(row)
    if plot is not None:
        from paribus.cli.theory_plots import plot_lorenz

        plot_lorenz(data, [f"{one['file']}:{one['row']}" for one in table], plot)
    summary: list[dict[str, Any]] = [
        {
            "measure": m.name,
            "sparser": "larger" if m.sparser > 0 else "smaller",
            "axioms": " ".join(sorted(m.axioms)),
            "median": median(one[m.name] for one in table),
            "least": min(one[m.name] for one in table),
            "greatest": max(one[m.name] for one in table),
        }
        for m in MEASURES
    ]
    _show(table if rows else summary, json, [f"{len(table)} rows"])


@app.command()
def scaling(
    file: Annotated[str, typer.Argument(metavar="FILE.csv", help="A header line and one run a line; - is stdin.")],
    loss: Annotated[str, typer.Option(metavar="COLUMN", help="The loss.")] = "loss",
    resource: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="N, D, C ...; by default all other columns.")
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="Rows resampled together, as a seed.")] = None,
    irreducible: Annotated[
        float | None, typer.Option(help="Hold the irreducible loss here (0 for none) instead of fitting it.")
    ] = None,
    delta: Annotated[float, typer.Option(help="Where the Huber loss of the log residual turns linear.")] = 1e-3,
    draws: Annotated[int, typer.Option(help="Resamples for the intervals.")] = 200,
    flops: Annotated[float | None, typer.Option(help="Also the best N and D for this compute, C = 6 N D.")] = None,
    plot: Plot = None,
    json: AsJson = False,
) -> None:
    """Fit loss = E + sum of A / x^alpha, with 95 % bootstrap intervals."""
    from paribus.cli.theory_input import as_numbers, read_columns
    from paribus.core.errors import ConfigError, nearest
    from paribus.theory.scaling_law import bootstrap, compute_optimal, fit

    _ready(plot)
    columns = read_columns(file)
    names = resource or [name for name in columns if name not in (loss, group)]
    for name in [loss, *names, *([group] if group else [])]:
        if name not in columns:
            raise ConfigError(f"{file} has no column {name!r}: {nearest(name, columns)}")
    amounts = {name: as_numbers(columns[name], f"{file}, column {name}") for name in names}
    losses = as_numbers(columns[loss], f"{file}, column {loss}")
    law = fit(losses, amounts, irreducible, delta)
    labels = columns[group] if group else None
    spans = bootstrap(losses, amounts, irreducible, delta, groups=labels, draws=draws)
    rows: list[dict[str, Any]] = [
        {"number": name, "estimate": value, "low": spans[name][0], "high": spans[name][1]}
        for name, value in law.values().items()
    ]
    notes, extra = [f"{law.points} points, Huber objective {law.objective:.4g}"], {}
    if flops is not None:
        best = compute_optimal(law, flops)
        extra = {"flops": flops, "N": best.parameters, "D": best.tokens, "loss": best.loss}
        notes.append(f"with {flops:g} FLOPs: N = {best.parameters:.4g}, D = {best.tokens:.4g}, loss {best.loss:.4f}")
    if plot is not None:
        from paribus.cli.theory_plots import plot_fit

        plot_fit(losses, [float(v) for v in law.predict(**amounts)], amounts, plot)
    _show(rows, json, notes, {"points": law.points, "objective": law.objective, "compute_optimal": extra or None})


def _show(
    rows: Sequence[dict[str, Any]], as_json: bool, notes: Sequence[str] = (), extra: dict[str, Any] | None = None
) -> None:
    """A table with right-aligned numbers, or JSON; numbers that JSON lacks become strings."""
    if as_json:
        plain = [{k: v if not isinstance(v, float) or isfinite(v) else str(v) for k, v in row.items()} for row in rows]
        typer.echo(dumps((extra or {}) | {"rows": plain}, indent=1))
        return
    words = [[f"{v:.6g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    heads = list(rows[0])
    widths = [max(len(line[i]) for line in [heads, *words]) for i in range(len(heads))]
    for line in [heads, *words]:
        typer.echo("  ".join(word.rjust(width) for word, width in zip(line, widths)).rstrip())
    for note in notes:
        typer.echo(note)


def _ready(plot: Path | None) -> None:
    """Refuse a picture that cannot be written before anything is computed."""
    if plot is not None:
        from paribus.cli.plot import check_path

        check_path(plot)


def _measured(function: Any, row: list[float], where: str) -> float:
    from paribus.core.errors import ConfigError

    try:
        return float(function(row))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
