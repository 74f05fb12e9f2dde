"""A metric against context length: one line an arm, named at its end, with its band over seeds."""

import math
from collections.abc import Container

from paribus.lab.record import Record
from paribus.lab.report.band import band
from paribus.lab.report.figures.canvas import FONT, LINE, Canvas, label_room, padded, settings, text_width
from paribus.lab.report.metrics import Curve, values
from paribus.lab.report.palette import SHADE, SOFT, arm_style


def lengths(record: Record, curve: Curve, only: Container[str] | None = None) -> str:
    """only: the arms that are drawn; None: all. An arm keeps its colour and marker either way."""
    trained = getattr(record.plan.task, "train_length", None)
    quantity, arms = curve.quantity, [arm.name for arm in record.plan.claim.arms]
    drawn = []
    for index, arm in enumerate(arms):
        if only is not None and arm not in only:
            continue
        at = [(n, values(record, arm, one.metric)) for n, one in curve.at.items()]
        points = [(n, band([quantity.scaled(v) for v in found])) for n, found in at if found]
        if points:
            drawn.append((index, arm, points))
    with settings():
        canvas = Canvas(
            height=max(300.0, 96 + LINE * (len(drawn) + 1)),
            left=48,
            right=label_room([arm for _, arm, _ in drawn]),
            top=52,
            bottom=46,
        )
        axes = canvas.axes
        ends = [end for _, _, points in drawn for _, b in points for end in (b.low, b.high, b.mean)]
        canvas.y_ticks(*padded(ends))
        ticks = sorted({*curve.at, *([trained] if trained else [])})
        axes.set_xlim(math.log2(ticks[0]) - 0.15, math.log2(ticks[-1]) + 0.12)
        canvas.x_ticks([math.log2(n) for n in ticks], thinned(ticks, canvas))
        for index, _, points in drawn:
            colour, marker, dash = arm_style(index)
            across = [math.log2(n) for n, _ in points]
            axes.fill_between(
                across, [b.low for _, b in points], [b.high for _, b in points], color=colour, alpha=0.16, linewidth=0
            )
            axes.plot(
                across,
                [b.mean for _, b in points],
                color=colour,
                marker=marker,
                linestyle=dash,
                linewidth=2,
                markersize=6,
            )
        if trained:
            _mark_trained(canvas, math.log2(trained), trained, beyond=ticks[-1] > trained)
        canvas.end_labels([(math.log2(p[-1][0]), p[-1][1].mean, arm, arm_style(index)[0]) for index, arm, p in drawn])
        unit = f", {quantity.unit_shown}" if quantity.unit_shown else ""
        canvas.y_title(f"{curve.kind}{unit} ({quantity.better})")
        canvas.x_title("context length when read, tokens")
        names = ", ".join(arm for _, arm, _ in drawn)
        return canvas.svg(
            f"{curve.kind} against context length for the arms {names}",
            f"lengths-{curve.kind}{'' if only is None else '-some'}",
        )


def _mark_trained(canvas: Canvas, at: float, length: int, beyond: bool) -> None:
    axes = canvas.axes
    _, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    if beyond:
        axes.axvspan(at, right, color=SHADE, zorder=-2, linewidth=0)
    axes.axvline(at, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=-1)
    across, top = canvas.pixel(at, high)
    words = f"trained at {length}" + (" · longer than ever trained →" if beyond else "")
    room = canvas.width - canvas.left - text_width(words, FONT - 1)
    canvas.write(max(canvas.left - 20, min(across - 2, canvas.left + room)), top - 9, words, ha="left")


def thinned(ticks: list[int], canvas: Canvas) -> list[str]:
    """The lengths as labels; where they would touch, the one in between stays a bare tick."""
    low, high = canvas.axes.get_xlim()
    scale = (canvas.width - canvas.left - canvas.right) / (high - low)
    labels: list[str] = []
    free = -math.inf
    for n in ticks:
        words, at = f"{n:,}", math.log2(n) * scale
        half = text_width(words, FONT - 1) / 2
        fits = at - half > free + 4
        labels.append(words if fits else "")
        free = at + half if fits else free
    return labels
