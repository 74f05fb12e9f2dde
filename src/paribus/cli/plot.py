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


def check_path(path: Path) -> None:
    """Raise ConfigError for a picture that `save` could not write: to be asked before the work is done."""
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--plot {path}: expected a name that ends in .svg, .png or .pdf")
    if not path.parent.is_dir():
        raise ConfigError(f"--plot {path}: there is no folder {path.parent}; make it, or choose another place")


def save(figure: Any, path: Path) -> None:
    check_path(path)
    # Equal pictures, equal bytes.
    with mpl.rc_context({"svg.hashsalt": "paribus", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
