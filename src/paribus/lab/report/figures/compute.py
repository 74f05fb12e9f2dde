"""Training loss against the FLOPs spent so far: one line a trained arm, with its band over seeds."""

import math
from collections.abc import Sequence

from paribus.lab.report.curves import Course
from paribus.lab.report.figures.canvas import LINE, Canvas, label_room, log_ticks, padded, settings
from paribus.lab.report.palette import arm_style


def compute(courses: Sequence[Course]) -> str:
    with settings():
        canvas = Canvas(
            height=max(250.0, 96 + LINE * (len(courses) + 1)),
            left=48,
            right=label_room([course.arm for course in courses]),
            top=34,
            bottom=46,
        )
        axes = canvas.axes
        canvas.y_ticks(*padded([end for course in courses for b in course.loss for end in (b.low, b.high)]))
        spent = [flops for course in courses for flops in course.flops]
        low, high = min(spent), max(spent)
        low, high = (low / 1.5, high * 1.5) if low == high else (low, high)
        reach = math.log10(high / low)
        axes.set_xlim(math.log10(low) - 0.03 * reach, math.log10(high) + 0.02 * reach)
        power, unit = _prefix(high)
        ticks = log_ticks(low, high, most=6)
        canvas.x_ticks([math.log10(t) for t in ticks], [f"{t / power:,.4g}" for t in ticks])
        for course in courses:
            colour, _, dash = arm_style(course.index)
            across = [math.log10(flops) for flops in course.flops]
            axes.fill_between(
                across,
                [b.low for b in course.loss],
                [b.high for b in course.loss],
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
            marker = "o" if len(across) < 9 else None
            axes.plot(
                across,
                [b.mean for b in course.loss],
                color=colour,
                linestyle=dash,
                linewidth=2,
                marker=marker,
                markersize=4,
            )
        canvas.end_labels([(math.log10(c.flops[-1]), c.loss[-1].mean, c.arm, arm_style(c.index)[0]) for c in courses])
        canvas.y_title("training loss, nats per token (lower is better)")
        canvas.x_title(f"{unit} of training spent so far (log scale)")
        return canvas.svg("training loss against FLOPs spent", "compute")


def _prefix(most: float) -> tuple[float, str]:
    for place, prefix in reversed(list(enumerate("kMGTPEZ", start=1))):
        if most >= 1000.0**place:
            return 1000.0**place, f"{prefix}FLOP"
    return 1.0, "FLOP"
