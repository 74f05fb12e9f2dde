"""A quantity against the tokens trained on: one line an arm, or one a prediction, with its band over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from paribus.lab.report.band import Band
from paribus.lab.report.figures.canvas import LINE, Canvas, label_room, log_ticks, padded, settings
from paribus.lab.report.palette import RULE, arm_style


@dataclass(frozen=True)
class Line:
    """index: of the arm, for its colour; at: tokens -> band, in the unit shown."""

    index: int
    name: str
    at: Sequence[tuple[int, Band]]


def trend(lines: Sequence[Line], y_title: str, zero: bool, salt: str) -> str:
    """zero: draw the line of no difference."""
    with settings():
        canvas = Canvas(
            height=max(250.0, 96 + LINE * (len(lines) + 1)),
            left=48,
            right=label_room([line.name for line in lines]),
            top=34,
            bottom=46,
        )
        axes = canvas.axes
        ends = [end for line in lines for _, b in line.at for end in (b.low, b.high, b.mean)]
        canvas.y_ticks(*padded([*ends, 0.0] if zero else ends))
        spent = sorted({tokens for line in lines for tokens, _ in line.at})
        low, high = math.log10(spent[0]), math.log10(spent[-1])
        room = (high - low) or 1.0
        axes.set_xlim(low - 0.06 * room, high + 0.03 * room)
        ticks = log_ticks(spent[0] / 1.05, spent[-1] * 1.05)
        canvas.x_ticks([math.log10(t) for t in ticks], [f"{t / 1e6:,.3g}" for t in ticks])
        if zero:
            axes.axhline(0, color=RULE, linewidth=1.2, zorder=-1)
        for line in lines:
            colour, marker, dash = arm_style(line.index)
            across = [math.log10(tokens) for tokens, _ in line.at]
            lows, highs = [b.low for _, b in line.at], [b.high for _, b in line.at]
            axes.fill_between(across, lows, highs, color=colour, alpha=0.16, linewidth=0)
            means = [b.mean for _, b in line.at]
            axes.plot(across, means, color=colour, marker=marker, linestyle=dash, linewidth=2, markersize=6)
        canvas.end_labels(
            [(math.log10(line.at[-1][0]), line.at[-1][1].mean, line.name, arm_style(line.index)[0]) for line in lines]
        )
        canvas.y_title(y_title)
        canvas.x_title("million tokens trained on (log scale)")
        return canvas.svg(f"{y_title} against tokens trained on", salt)
