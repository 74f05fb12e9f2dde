"""The frame of a command's `--plot`. Needs matplotlib."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from paribus.core.errors import ConfigError


def new_axes(x: str, y: str) -> tuple[Any, Any]:
    """A figure with one pair of axes, of these labels."""
    figure: Any = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--plot {path}: expected a name that ends in .svg, .png or .pdf")
    # Equal pictures, equal bytes.
    with mpl.rc_context({"svg.hashsalt": "paribus", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
