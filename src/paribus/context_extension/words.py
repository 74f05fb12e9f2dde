"""From the words of a command line to a method: `rerope`, `yarn+log-length`, with the numbers that they need.

A word is the name of a class in positions/scaling, positions/maps or attention/scales, found in its folder.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from paribus.attention.scales.base import Scale
from paribus.context_extension.method import Change
from paribus.core.config import part_name
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError, nearest
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.identity import Identity
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.unscaled import Unscaled

SHORT = {"pi": "position-interpolation", "leaky": "leaky-rerope"}


def kebab(name: str) -> str:
    """NTKAware -> ntk-aware, ReRoPE -> rerope, YaRN -> yarn, Llama3 -> llama3."""
    together = name.replace("ReRoPE", "Rerope").replace("YaRN", "Yarn").replace("LongRoPE", "Longrope")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", together).lower()


def known() -> dict[str, type[Any]]:
    """Word -> class, of every method."""
    found = [*members(Scaling), *members(PositionMap), *members(Scale)]
    return {kebab(part_name(one)): one for one in found if one not in (Unscaled, Identity)}


def method(words: str, numbers: Mapping[str, Any]) -> list[Change]:
    """`words`: one or several methods joined by +. numbers: what their fields may be filled from, by name.

    Fields that have a default are filled too where a number of their name is given.
    """
    table = known()
    changes: list[Change] = []
    for word in words.split("+"):
        name = SHORT.get(word.strip(), word.strip())
        if name not in table:
            raise InputError(f"no method {word.strip()!r}; {nearest(name, table)}")
        changes.append(_made(name, table[name], numbers))
    return changes


def _made(word: str, kind: type[Any], numbers: Mapping[str, Any]) -> Change:
    filled = {field.name: numbers[field.name] for field in fields(kind) if field.name in numbers}
    lacking = [
        field.name
        for field in fields(kind)
        if field.name not in filled and field.default is MISSING and field.default_factory is MISSING
    ]
    if lacking:
        raise InputError(f"{word} needs {' and '.join(lacking)}: give --set {lacking[0]}=NUMBER")
    try:
        made: Change = kind(**filled)
    except ConfigError as error:
        raise InputError(f"{word}: {error}") from error
    return made
