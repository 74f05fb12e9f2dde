"""The pictures of `paribus theory --plot`. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.cli.plot import new_axes, save
from paribus.theory.rope_base import many_pairs_limit
from paribus.theory.sparsity import gini, lorenz


def plot_bases(rows: Sequence[dict[str, Any]], head_dim: int, base: float | None, path: Path) -> None:
    figure, axes = new_axes("length (positions)", "base of RoPE")
    lengths = [row["length"] for row in rows]
    if "gap_free_from" in rows[0]:
        axes.plot(lengths, [row["gap_free_from"] for row in rows], "o-", label="every base from here on is feasible")
    axes.plot(lengths, [row["bound"] for row in rows], "o-", label="smallest feasible base")
    axes.plot(lengths, [many_pairs_limit(n) for n in lengths], ":", color="grey", label="limit of many pairs")
    if base is not None:
        axes.axhline(base, color="black", linewidth=1, label=f"base {base:g}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(lengths, [f"{n >> 10}k" if n % 1024 == 0 else str(n) for n in lengths])
    axes.set_xticks([], minor=True)
    axes.set_title(f"heads of {head_dim} dimensions", loc="left")
    axes.legend(frameon=False)
    save(figure, path)


def plot_lorenz(data: Sequence[list[float]], names: Sequence[str], path: Path) -> None:
    figure, axes = new_axes("share of the entries, smallest first", "share of the sum that they hold")
    few = len(data) <= 8
    for row, name in zip(data, names):
        label = f"{name}  (Gini {float(gini(row)):.3f})" if few else None
        axes.plot(*lorenz(row), label=label, alpha=1 if few else 0.3, color=None if few else "tab:blue")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    if few:
        axes.legend(frameon=False)
    save(figure, path)


def plot_fit(losses: Sequence[float], predicted: Sequence[float], amounts: dict[str, list[float]], path: Path) -> None:
    """One resource: the curve through the points; several: predicted against measured."""
    if len(amounts) == 1:
        ((name, x),) = amounts.items()
        figure, axes = new_axes(name, "loss (nats per token)")
        order = sorted(range(len(x)), key=lambda i: x[i])
        axes.plot([x[i] for i in order], [predicted[i] for i in order], "-", label="fit")
        axes.plot(x, losses, "o", label="measured", alpha=0.7)
        axes.set_xscale("log")
    else:
        figure, axes = new_axes("loss predicted by the fit", "loss measured")
        axes.plot(predicted, losses, "o", label="runs", alpha=0.7)
        ends = [min(predicted), max(predicted)]
        axes.plot(ends, ends, "-", label="equal")
    axes.legend(frameon=False)
    save(figure, path)
