"""The paired differences of one comparison: a dot a pair, the mean with its adjusted interval, border and margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from paribus.lab.report.figures.canvas import (
    FONT,
    Canvas,
    padded,
    round_ticks,
    settings,
    short,
    swarm,
    text_width,
    tick_labels,
)
from paribus.lab.report.figures.dots import squeezed
from paribus.lab.report.palette import INK, PAPER, RULE, SHADE, SOFT
from paribus.lab.statistics import Interval

RADIUS = 4.5
DOTS, INTERVAL = 0.68, 0.2  # heights in the axes
WIDEST = 8.0  # an interval wider than this many times everything else runs out of the picture


@dataclass(frozen=True)
class Strip:
    """What is drawn, in the unit shown. The right of the picture is always where `right` is better."""

    values: Sequence[float]
    mean: float
    interval: Interval
    borders: Sequence[tuple[float, str]]
    margin: float | None
    left: str
    right: str
    title: str
    inner: Interval | None = None  # a narrower interval that decides too
    colour: str = INK
    salt: str = "differences"


def differences(strip: Strip) -> str:
    with settings():
        canvas = Canvas(height=168, left=14, right=14, top=24, bottom=62)
        axes = canvas.axes
        low, high = _limits(strip)
        axes.set_xlim(low, high)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        ticks = round_ticks(low, high, 6)
        canvas.x_ticks(ticks, tick_labels(ticks))
        if strip.margin is not None:
            axes.axvspan(max(low, -strip.margin), min(high, strip.margin), color=SHADE, zorder=-2, linewidth=0)
        axes.axhline(0, color=RULE, linewidth=1)
        axes.axvline(0, color=RULE, linewidth=1.2, zorder=-1)
        for border, _ in strip.borders:
            axes.axvline(border, color=SOFT, linewidth=1.4, linestyle=(0, (4, 3)), zorder=-1)
        _name_borders(canvas, strip)
        across = [canvas.pixel(value, DOTS)[0] for value in strip.values]
        offsets = squeezed(swarm(across, RADIUS), 17.0)
        axes.plot(
            list(strip.values),
            [DOTS + offset / canvas.inner_height for offset in offsets],
            linestyle="none",
            marker="o",
            markersize=2 * RADIUS - 1,
            color=strip.colour,
            alpha=0.75,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
        )
        _draw_interval(canvas, strip, low, high)
        _ends(canvas, strip)
        return canvas.svg(f"paired differences, {strip.title}", strip.salt)


def _limits(strip: Strip) -> tuple[float, float]:
    fixed = [0.0, strip.mean, *strip.values, *(border for border, _ in strip.borders)]
    if strip.margin is not None:
        fixed += [-strip.margin, strip.margin]
    span = max(fixed) - min(fixed) or 1.0
    reach = [end for end in strip.interval if math.isfinite(end)]
    if reach and max(reach) - min(reach) <= WIDEST * span:
        fixed += reach
    else:
        fixed += [strip.mean - span * WIDEST / 16, strip.mean + span * WIDEST / 16]
    return padded(fixed)


def _draw_interval(canvas: Canvas, strip: Strip, low: float, high: float) -> None:
    axes = canvas.axes
    if len(strip.values) > 1:
        left, right = max(low, strip.interval[0]), min(high, strip.interval[1])
        axes.plot([left, right], [INTERVAL, INTERVAL], color=INK, linewidth=1.8, solid_capstyle="butt")
        for end, shown, arrow in ((strip.interval[0], left, "<"), (strip.interval[1], right, ">")):
            cut = end != shown
            axes.plot([shown], [INTERVAL], marker=arrow if cut else "|", color=INK, markersize=9, markeredgewidth=1.8)
        if strip.inner is not None:
            inner = [max(low, strip.inner[0]), min(high, strip.inner[1])]
            axes.plot(inner, [INTERVAL, INTERVAL], color=INK, linewidth=5, solid_capstyle="butt")
    axes.plot([strip.mean], [INTERVAL], marker="D", color=INK, markersize=8, markeredgecolor=PAPER, markeredgewidth=1.2)


def _name_borders(canvas: Canvas, strip: Strip) -> None:
    """Border names above their lines, kept inside the picture and off one another."""
    free = 4.0
    for border, name in sorted(strip.borders):
        half = text_width(name, FONT - 1) / 2
        x = min(canvas.width - 4 - half, max(free + half, canvas.pixel(border, 1)[0]))
        canvas.write(x, 12, name, ha="center")
        free = x + half + 8


def _ends(canvas: Canvas, strip: Strip) -> None:
    """Which side is whose, under the ticks, and the axis title under both."""
    y = canvas.height - 32
    canvas.write(canvas.left, y, f"← {short(strip.left)} better", ha="left")
    canvas.write(canvas.width - canvas.right, y, f"{short(strip.right)} better →", ha="right")
    canvas.x_title(strip.title)
