"""Dev loss against learning rate: every tuning run as a dot, the mean as a line an arm, the chosen rate ringed."""

import math
from collections import defaultdict
from statistics import fmean

from paribus.lab.record import Record
from paribus.lab.report.figures.canvas import LINE, Canvas, label_room, padded, settings
from paribus.lab.report.palette import INK, arm_style


def rates(record: Record) -> str:
    searched = {t.arm for t in record.tried}
    arms = [(i, arm.name) for i, arm in enumerate(record.plan.claim.arms) if arm.name in searched]
    grid = sorted({t.learning_rate for t in record.tried})
    kept = [t for t in record.tried if not t.diverged] or list(record.tried)
    low, high = padded([t.dev_loss for t in kept], share=0.1)
    with settings():
        canvas = Canvas(
            height=max(250.0, 96 + LINE * (len(arms) + 1)),
            left=48,
            right=label_room([name for _, name in arms]),
            top=34,
            bottom=46,
        )
        axes = canvas.axes
        canvas.y_ticks(low, high)
        low, high = axes.get_ylim()
        reach = math.log2(grid[-1] / grid[0]) or 1.0
        axes.set_xlim(math.log2(grid[0]) - 0.1 * reach, math.log2(grid[-1]) + 0.08 * reach)
        canvas.x_ticks([math.log2(rate) for rate in grid], [f"{rate:g}" for rate in grid])
        ends = []
        for place, (index, name) in enumerate(arms):
            colour, marker, dash = arm_style(index)
            aside = (place - (len(arms) - 1) / 2) * 0.012 * reach  # dots of two arms at one rate stand side by side
            at: dict[float, list[float]] = defaultdict(list)
            for one in record.tried:
                if one.arm != name:
                    continue
                at[one.learning_rate].append(one.dev_loss)
                x = math.log2(one.learning_rate) + aside
                if one.dev_loss > high:
                    axes.plot([x], [high], marker="x", color=colour, markersize=7, markeredgewidth=1.8, clip_on=False)
                else:
                    axes.plot(
                        [x], [one.dev_loss], marker=marker, color=colour, markersize=5, alpha=0.6, markeredgewidth=0
                    )
            means = {rate: fmean(found) for rate, found in sorted(at.items())}
            axes.plot(
                [math.log2(rate) for rate in means], list(means.values()), color=colour, linestyle=dash, linewidth=1.8
            )
            last = max((rate for rate, mean in means.items() if mean <= high), default=max(means))
            ends.append((math.log2(last), min(means[last], high), name, colour))
            chosen = record.rates.get(name)
            if chosen in means and means[chosen] <= high:
                axes.plot(
                    [math.log2(chosen)],
                    [means[chosen]],
                    marker="o",
                    color=INK,
                    linestyle="none",
                    markersize=13,
                    markerfacecolor="none",
                    markeredgecolor=INK,
                    markeredgewidth=1.6,
                )
        canvas.end_labels(ends)
        canvas.y_title("dev loss, nats per token (lower is better)")
        canvas.x_title("learning rate (log scale)")
        return canvas.svg("dev loss against learning rate", "rates")
