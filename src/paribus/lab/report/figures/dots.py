"""A metric without lengths: every run as a dot, one row an arm, with the mean and its band."""

from collections.abc import Mapping
from typing import Any

from paribus.lab.record import Record
from paribus.lab.report.band import band
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
from paribus.lab.report.metrics import values
from paribus.lab.report.palette import INK, PAPER, RULE, arm_style
from paribus.lab.report.quantity import Quantity

ROW = 44.0
RADIUS = 4.0
LETTERS: dict[str, Any] = {"fontsize": FONT + 1, "fontweight": "bold"}


def dots(record: Record, quantity: Quantity, letters: Mapping[str, str] | None = None) -> str:
    """letters: of a ranking, arm -> letters, best arm first: rows in that order, with the letters at their ends."""
    arms = [(i, arm.name) for i, arm in enumerate(record.plan.claim.arms) if values(record, arm.name, quantity.metric)]
    if letters is not None:
        place = list(letters)
        arms.sort(key=lambda arm: place.index(arm[1]))
    with settings():
        left = 20 + max(text_width(short(name), weight="bold") for _, name in arms)
        right = (
            20 if letters is None else 28 + max(text_width(short(one, 12), weight="bold") for one in letters.values())
        )
        canvas = Canvas(height=ROW * len(arms) + 52 + 8, left=left, right=right, top=8, bottom=52)
        axes = canvas.axes
        runs = [[quantity.scaled(v) for v in values(record, name, quantity.metric)] for _, name in arms]
        bands = [band(one) for one in runs]
        low, high = padded([v for one in runs for v in one] + [end for b in bands for end in (b.low, b.high)])
        axes.set_xlim(low, high)
        axes.set_ylim(len(arms) - 0.5, -0.5)
        ticks = round_ticks(low, high, 5)
        canvas.x_ticks(ticks, tick_labels(ticks))
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        for row, ((index, name), one, b) in enumerate(zip(arms, runs, bands)):
            colour, marker, _ = arm_style(index)
            across = [canvas.pixel(v, row)[0] for v in one]
            offsets = squeezed(swarm(across, RADIUS), 9.0)
            if len(one) > 1:
                axes.plot([b.low, b.high], [row + 0.34, row + 0.34], color=colour, linewidth=5, alpha=0.35)
                axes.plot([b.mean], [row + 0.34], color=INK, marker="|", markersize=9, markeredgewidth=2)
            axes.plot(
                one,
                [row - 0.12 - offset / ROW for offset in offsets],
                color=colour,
                marker=marker,
                markersize=2 * RADIUS - 1,
                linestyle="none",
                alpha=0.85,
                markeredgecolor=PAPER,
                markeredgewidth=0.6,
            )
            canvas.write(
                canvas.left - 10, canvas.pixel(low, row)[1], short(name), color=colour, ha="right", fontweight="bold"
            )
            if letters is not None:
                at = canvas.width - canvas.right + 14
                canvas.write(at, canvas.pixel(low, row)[1], short(letters[name], 12), color=INK, ha="left", **LETTERS)
        unit = f", {quantity.unit_shown}" if quantity.unit_shown else ""
        canvas.x_title(f"{short(quantity.metric, 40)}{unit} ({quantity.better})")
        what = "" if letters is None else ", best first, with the letters of the ranking"
        return canvas.svg(f"{quantity.metric} of every run, one row an arm{what}", f"dots-{quantity.metric}{what}")


def squeezed(offsets: list[float], most: float) -> list[float]:
    """The offsets, drawn together where the swarm would leave its row."""
    reach = max((abs(offset) for offset in offsets), default=0.0)
    return offsets if reach <= most else [offset * most / reach for offset in offsets]
