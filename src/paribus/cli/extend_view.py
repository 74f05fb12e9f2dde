"""Tables and pictures of `paribus extend`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from paribus.context_extension.evaluate import Curve, Depths
from paribus.context_extension.explain import Explanation

BAR = 16  # characters of the longest bar


def explanation(told: Explanation, console: Console) -> None:
    bound = f"{told.bound:,.0f}" if told.bound_found else f"above {told.bound:,.0f}, where the search was stopped"
    leaving = [pair for pair in told.pairs if pair.leaves]
    console.print(
        f"RoPE with base {told.base:g}, heads of {told.head_dim}; trained at {told.trained}, asked for {told.asked}\n"
        f"{len(leaving)} of {len(told.pairs)} pairs never turned once in training and would meet unseen angles\n"
        f"smallest base that tells near from far at {told.asked}: {bound}; "
        f"this base serves up to {told.reach:,}\n"
    )
    pairs = Table("pair", "wavelength", "turns in training", f"turns at {told.asked}", "")
    for pair in told.pairs:
        pairs.add_row(
            str(pair.index),
            f"{pair.wavelength:,.1f}",
            f"{pair.turns_trained:,.3g}",
            f"{pair.turns_asked:,.3g}",
            "leaves its arc" if pair.leaves else "",
        )
    console.print(pairs)
    effects = Table(
        "method", "pairs outside", "slowest arc", "fastest frequency", "largest distance", "scores", title="methods"
    )
    for one in told.effects:
        effects.add_row(
            one.name,
            str(one.pairs_outside),
            f"{one.slowest_arc:.2f}x",
            f"{one.fastest_change:.3f}x",
            f"{one.largest_distance:,.0f}",
            f"{one.score_factor:.3f}x",
        )
    console.print(effects)
    console.print(
        "pairs outside: pairs that still meet unseen angles. slowest arc: what the slowest pair turns, against what it "
        "turned in training. fastest frequency: below 1x near tokens come closer together than trained.\n\nas set here:"
    )
    for one in told.effects:
        console.print(f"  {one.name}: {one.spelled}", soft_wrap=True, markup=False)


def measured(
    curves: Sequence[Curve], depths: Sequence[Depths], trained: int, to: int, changes: Sequence[Any], console: Console
) -> None:
    console.print(f"trained at {trained}, extended to {to} by {', '.join(map(repr, changes))}\n")
    for kind, title, column in (
        ("distance", "distance probe: loss of the second half of a text, the first half so far before it", "distance"),
        ("context", "loss on the same final tokens under a growing context", "context"),
    ):
        chosen = [curve for curve in curves if curve.kind == kind]
        if not chosen:
            continue
        console.print(f"{title}; nats per token")
        table = Table(column, *[curve.reader for curve in chosen])
        every = [loss for curve in chosen for loss in (*curve.loss, *([] if curve.alone is None else [curve.alone]))]
        if chosen[0].alone is not None:
            table.add_row("none at all", *[bar(curve.alone, every) for curve in chosen])
        for i, at in enumerate(chosen[0].at):
            beyond = " *" if at + (0 if kind == "context" else 1) > trained else ""
            table.add_row(f"{at}{beyond}", *[bar(curve.loss[i], every) for curve in chosen])
        console.print(table)
        console.print(f"* beyond the trained length{tax(chosen, trained)}\n")
    if depths:
        # A column for each reader: readers are few, depths are many, and labels must not be broken.
        readers = list(dict.fromkeys(row.reader for row in depths))
        for kind in dict.fromkeys(row.kind for row in depths):
            rows = {row.reader: row for row in depths if row.kind == kind}
            table = Table("depth", *readers, title=f"{kind} found at {to} tokens")
            for i, depth in enumerate(depths[0].depths):
                found = [f"{'yes' if rows[one].found[i] else 'no'} ({rows[one].loss[i]:.2f})" for one in readers]
                table.add_row(f"{depth:.0%}", *found)
            console.print(table)
        console.print("in brackets: loss of the answer, nats per token")


def bar(loss: float | None, every: Sequence[float]) -> str:
    """The number, and how far it stands from the lowest of its table to the highest."""
    if loss is None:
        return ""
    low, high = min(every), max(every)
    return f"{loss:.3f} " + "▇" * round(BAR * (loss - low) / (high - low) if high > low else 0)


def tax(curves: Sequence[Curve], trained: int) -> str:
    """What the method costs where the model was trained: the worst rise over plain reading."""
    if len(curves) < 2:
        return ""
    plain, method, *_ = curves  # a mixture that follows has no more of it than they have on average
    rises = [b - a for at, a, b in zip(plain.at, plain.loss, method.loss, strict=True) if at <= trained]
    return f"; extension tax within it: at most {max(rises):+.3f}" if rises else ""


def draw(curves: Sequence[Curve], trained: int, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    kinds = [kind for kind in ("distance", "context") if any(curve.kind == kind for curve in curves)]
    names = {"distance": "distance of the first half, tokens", "context": "context, tokens"}
    figure: Any = Figure(figsize=(6.4 * len(kinds), 4.2), layout="constrained")
    for i, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), i + 1, xlabel=names[kind], ylabel="loss, nats per token")
        chosen = [curve for curve in curves if curve.kind == kind]
        for curve, marker in zip(chosen, "os^D", strict=False):
            axes.plot(curve.at, curve.loss, marker=marker, label=curve.reader)
        if chosen[0].alone is not None:
            axes.axhline(chosen[0].alone, color="grey", linestyle=":", label="no context")
        axes.axvline(trained, color="black", linewidth=0.8, linestyle="--", label=f"trained at {trained}")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    with mpl.rc_context({"svg.hashsalt": "paribus", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
