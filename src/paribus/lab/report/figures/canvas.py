"""What all pictures share: a canvas measured in pixels, quiet axes, labels that do not collide, and clean SVG.

Sizes are CSS pixels at the natural width; the page scales pictures up on a desk and down on a telephone. Text stays
text in the page's own font: it is measured in DejaVu Sans, which is wider than the usual system fonts, so what fits
here fits there. Equal pictures give equal bytes: fixed salt for ids, no date.
"""

import io
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from paribus.lab.report.markup import plain, text
from paribus.lab.report.palette import INK, RULE, SOFT, follow_page
from paribus.lab.report.quantity import number

WIDTH = 440
FONT = 12.0
ROUND = (1, 2, 2.5, 5, 10)  # steps between ticks, times a power of ten
LINE = 15.0  # height of a line of text

SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "paribus",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": FONT,
    "axes.unicode_minus": True,
    "path.simplify": True,
}


@contextmanager
def settings() -> Iterator[None]:
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        # Names in any script are the browser's to draw; here they are only measured.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


class Canvas:
    """One axes in a frame of `left`, `right`, `top`, `bottom` pixels; texts are placed in pixels from top left."""

    def __init__(self, height: float, left: float, right: float, top: float, bottom: float) -> None:
        width = WIDTH
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = left, right, top, bottom
        self.figure: Any = Figure(figsize=(width / 72, height / 72), dpi=72)
        self.drawing: Any = FigureCanvasAgg(self.figure)
        self.figure.patch.set_visible(False)
        self.axes: Any = self.figure.add_axes(
            (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        )
        self.axes.patch.set_visible(False)
        self.axes.tick_params(length=0, colors=SOFT, labelsize=FONT - 1, pad=5)
        for side in self.axes.spines.values():
            side.set_visible(False)

    @property
    def inner_height(self) -> float:
        return self.height - self.top - self.bottom

    def write(self, x: float, y: float, words: str, **style: Any) -> Any:
        """Text at a pixel, y counted downwards from the top."""
        style = {"color": SOFT, "fontsize": FONT - 1, "va": "center", "parse_math": False, **style}
        return self.figure.text(x / self.width, 1 - y / self.height, plain(words), **style)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Where a data point lies, in pixels from top left."""
        across, up = self.axes.transData.transform((x, y))
        return float(across), self.height - float(up)

    def y_title(self, words: str) -> None:
        """Flat above the axis, where it reads without turning the head."""
        words, size = fitted(words, self.width - 8)
        self.write(4, 11, words, color=INK, ha="left", fontsize=size)

    def x_title(self, words: str) -> None:
        """Under the ticks in the middle of the axis, pushed inwards where it would leave the picture."""
        words, size = fitted(words, self.width - 8)
        half = text_width(words, size) / 2
        middle = (self.left + self.width - self.right) / 2
        middle = min(max(middle, half + 4), max(self.width - half - 4, self.width / 2))
        self.write(middle, self.height - 10, words, color=INK, ha="center", fontsize=size)

    def y_ticks(self, low: float, high: float, count: int = 5) -> None:
        """Limits and round ticks with thin lines across."""
        low, high = opened(low, high)
        ticks = [t for t in MaxNLocator(count, steps=ROUND).tick_values(low, high) if low <= t <= high]
        self.axes.set_ylim(low, high)
        self.axes.yaxis.set_major_locator(FixedLocator(ticks))
        self.axes.set_yticklabels(tick_labels(ticks))
        self.axes.grid(axis="y", color=RULE, linewidth=0.8)
        self.axes.set_axisbelow(True)

    def x_ticks(self, ticks: Sequence[float], labels: Sequence[str]) -> None:
        self.axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        self.axes.set_xticklabels(list(labels))
        self.axes.xaxis.set_minor_locator(FixedLocator([]))

    def end_labels(self, ends: Sequence[tuple[float, float, str, str]]) -> None:
        """Name each line at its end (x, y, name, colour), moved apart where they would touch."""
        points = [self.pixel(x, y) for x, y, _, _ in ends]
        wanted = [y for _, y in points]
        placed = apart(wanted, LINE, self.top + 2, self.height - self.bottom - 2)
        start = self.width - self.right + 14
        for (_, _, name, colour), (across, down), y in zip(ends, points, placed):
            bend = [max(across + 5, self.width - self.right), start - 3]
            self.figure.add_artist(
                mpl.lines.Line2D(
                    [bend[0] / self.width, bend[1] / self.width],
                    [1 - down / self.height, 1 - y / self.height],
                    color=colour,
                    linewidth=0.8,
                    alpha=0.6,
                )
            )
            self.write(start, y, short(name), color=colour, ha="left", fontsize=FONT, fontweight="bold")

    def svg(self, title: str, salt: str) -> str:
        """The picture as an inline <svg>; `title` is what a screen reader says."""
        out = io.StringIO()
        with mpl.rc_context({"svg.hashsalt": salt}):
            self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        return clean(out.getvalue(), title, self.width)


def clean(raw: str, title: str, width: float) -> str:
    """Only the drawing: no prologue, no metadata, no ids of groups, colours and font of the page."""
    svg = raw[raw.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg)
    svg = svg.replace("xlink:href", "href")
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1]}" role="img" aria-label="{text(title)}" '
        f'style="--natural:{width:g}px">'
    )
    svg = re.sub(r"<svg\b[^>]*>", lambda _: head, svg, count=1)
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "var(--font)", svg)
    return follow_page(svg.strip())


def text_width(words: str, size: float = FONT, weight: str = "normal") -> float:
    """Pixels that the words take."""
    figure = Figure(dpi=72)
    canvas: Any = FigureCanvasAgg(figure)
    drawn = figure.text(0, 0, plain(words), fontsize=size, fontweight=weight, parse_math=False)
    return float(drawn.get_window_extent(canvas.get_renderer()).width)


def short(name: str, most: int = 20) -> str:
    """A name that fits beside a picture, its middle left out; the list of arms has it whole."""
    name = " ".join(plain(name).split()) or "(no name)"
    head = (most - 1) // 2
    return name if len(name) <= most else f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def fitted(words: str, room: float) -> tuple[str, float]:
    """The words and a font size that fit into the room: smaller first, then shortened."""
    size = FONT
    while size > 9 and text_width(words, size) > room:
        size -= 1
    most = len(words)
    while most > 8 and text_width(short(words, most), size) > room:
        most -= 1
    return short(words, most), size


def label_room(names: Sequence[str]) -> float:
    """Right margin that holds the labels at the ends of lines."""
    return 22 + max(text_width(short(name), weight="bold") for name in names)


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places nearest to the wanted ones that are `gap` apart, in the same order, inside [low, high] if they fit."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    groups: list[tuple[list[int], float]] = []  # members and the middle of their stretch
    for i in order:
        groups.append(([i], wanted[i]))
        while len(groups) > 1:
            (above, a), (below, b) = groups[-2:]
            if b - a >= gap * (len(above) + len(below)) / 2:
                break
            both = above + below
            groups[-2:] = [(both, sum(wanted[j] for j in both) / len(both))]
    flat = [i for members, _ in groups for i in members]
    spread = [middle + gap * (k - (len(m) - 1) / 2) for m, middle in groups for k in range(len(m))]
    for k in range(len(spread)):  # off the upper edge, then off the lower one
        spread[k] = max(spread[k], low + gap * k)
    for k in reversed(range(len(spread))):
        spread[k] = min(spread[k], high - gap * (len(spread) - 1 - k))
    placed = [0.0] * len(wanted)
    for i, y in zip(flat, spread):
        placed[i] = y
    return placed


def swarm(across: Sequence[float], radius: float) -> list[float]:
    """Vertical offsets that keep dots at these pixels from covering one another, as near to 0 as they can be."""
    placed: list[tuple[float, float]] = []
    offsets = [0.0] * len(across)
    for i in sorted(range(len(across)), key=lambda i: (across[i], i)):
        near = [(x, y) for x, y in placed if abs(x - across[i]) < 2 * radius]
        tries = [0.0] + [sign * k * radius / 2 for k in range(1, 8 * len(across) + 1) for sign in (1, -1)]
        offsets[i] = next(
            t for t in tries if all((x - across[i]) ** 2 + (y - t) ** 2 >= (2 * radius) ** 2 - 1e-9 for x, y in near)
        )
        placed.append((across[i], offsets[i]))
    return offsets


def opened(low: float, high: float) -> tuple[float, float]:
    """The range, opened where it is so narrow that its ticks would differ in the fifth digit only."""
    least = max(abs(low), abs(high)) * 2e-3 or 1e-3
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    return low, high


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The range of the values with a margin on both sides."""
    low, high = opened(min(values), max(values))
    room = (high - low) * share
    return low - room, high + room


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Equal digits for all ticks of an axis."""
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    if not steps:
        return [number(t) for t in ticks]
    step = min(steps)
    decimals = 0
    while decimals < 8 and abs(round(step, decimals) - step) > step * 1e-6:
        decimals += 1
    if max(map(abs, ticks)) >= 1e7 or decimals >= 7:
        return [f"{t:g}".replace("-", "−") for t in ticks]
    return [f"{t:,.{decimals}f}".replace("-", "−") if abs(t) > step * 1e-9 else "0" for t in ticks]


def round_ticks(low: float, high: float, count: int) -> list[float]:
    ticks = [float(t) for t in MaxNLocator(count, steps=ROUND).tick_values(low, high) if low <= t <= high]
    return ticks or [(low + high) / 2]


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """1-2-5 ticks between two positive numbers, thinned to decades and wider where there would be too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits, stride in [((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6)]:
        ticks = [d * 10.0**k for k in range(first, last + 1, stride) for d in digits]
        ticks = [t for t in ticks if low <= t <= high]
        if 2 <= len(ticks) <= most:
            return ticks
    return [low, high]
