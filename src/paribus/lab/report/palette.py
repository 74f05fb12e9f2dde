"""The colours of page and pictures, for light and dark; told apart by lightness and marker too, not by hue alone.

Pictures are drawn in the light colours, which are then replaced by the page's variables, so that both modes fit.
Hues after Okabe and Ito, Color Universal Design, 2008, darkened or lightened until text in them reads well.
"""

import re

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#59636e",
    "rule": "#d4d9df",
    "shade": "#e7ecf1",
    "arm0": "#0a64a4",
    "arm1": "#b94700",
    "arm2": "#007a5a",
    "arm3": "#9c3a78",
    "arm4": "#866000",
    "arm5": "#00788c",
    "arm6": "#4f5358",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e9ecef",
    "soft": "#a3adb8",
    "rule": "#3a424b",
    "shade": "#262e37",
    "arm0": "#5db4ef",
    "arm1": "#ff9457",
    "arm2": "#3dcb9f",
    "arm3": "#ee92c8",
    "arm4": "#e3b93f",
    "arm5": "#62d3e4",
    "arm6": "#c0c6cc",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "✖")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)))

PAPER, INK, SOFT, RULE, SHADE = (LIGHT[name] for name in ("paper", "ink", "soft", "rule", "shade"))


def arm_style(index: int) -> tuple[str, str, object]:
    """(colour, marker, dash) of the arm at this place among the claim's arms."""
    count = len(MARKERS)
    turn = index // count
    return LIGHT[f"arm{index % count}"], MARKERS[(index + turn) % count], DASHES[turn % len(DASHES)]


def arm_sign(index: int) -> tuple[str, str]:
    """(marker as a character, name of the colour) for a list that explains the pictures."""
    count = len(MARKERS)
    return SIGNS[(index + index // count) % count], f"arm{index % count}"


def variables(colours: dict[str, str]) -> str:
    """The colours as declarations of CSS variables."""
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def follow_page(svg: str) -> str:
    """The picture with the page's variables in place of the light colours."""
    names = {colour: name for name, colour in LIGHT.items()}
    return re.sub("|".join(names), lambda found: f"var(--{names[found[0]]})", svg)
