"""From the words of a command line to a method: `rerope`, `yarn+log-length`, with the numbers that they need.

A word is the name of a class in positions/scaling, positions/maps or attention/scales, found in its folder.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from paribus.attention.scales.log_length import LogLength
from paribus.context_extension.method import Change
from paribus.core.config import part_name
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError, nearest
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.identity import Identity
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.unscaled import Unscaled

SHORT = {"pi": "position-interpolation", "leaky": "leaky-rerope"}
SINKS = 4  # the first tokens that maps with a window keep by default
SCALES = (LogLength,)  # of the scales, those that a model trained without them can be read with


def kebab(name: str) -> str:
    """NTKAware -> ntk-aware, ReRoPE -> rerope, YaRN -> yarn, Llama3 -> llama3."""
    together = name.replace("ReRoPE", "Rerope").replace("YaRN", "Yarn").replace("LongRoPE", "Longrope")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", together).lower()


def known() -> dict[str, type[Any]]:
    """Word -> class, of every method."""
    found: list[type[Any]] = [*members(Scaling), *members(PositionMap), *SCALES]
    return {kebab(part_name(one)): one for one in found if one not in (Unscaled, Identity)}


def numbers(trained: int, asked: int, window: int | None = None) -> dict[str, dict[str, Any]]:
    """What the fields of a method are filled with by default: word (or "" for all) -> field -> number.

    window: by default a quarter of the trained length, as the sources of ReRoPE advise; where nothing is read beyond it
    but the first few tokens, all of it but these.
    """
    w = max(1, trained // 4) if window is None else window
    if not 1 <= w <= trained:
        raise InputError(f"--window {w}: expected 1 to {trained}, the trained length")
    # Far distances must fit into what is left of the trained length; Leaky ReRoPE is best with half of it.
    room = max(1, trained - w)
    half = max(1.0, trained / 2 - w)
    bounded = {"window": max(1, trained - SINKS) if window is None else w}
    return {
        "": {"factor": max(1.0, asked / trained), "window": w, "train_length": trained},
        "leaky-rerope": {"factor": max(1.0, (asked - w) / half)},
        "self-extend": {"group": max(1, math.ceil((asked - w) / room))},
        "dual-chunk": {"chunk": max(1, 3 * trained // 4)},
        "lm-infinite": bounded,
        "streaming-llm": dict(bounded),
        "log-length": {"base": float(trained), "at_least_one": True},
    }


def method(words: str, numbers: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """`words`: one or several methods joined by +. numbers: word (or "" for all) -> field -> what it is filled with.

    Fields that have a default are filled too where a number of their name is given.
    """
    table = known()
    changes: list[Change] = []
    for word in words.split("+"):
        name = SHORT.get(word.strip(), word.strip())
        if name not in table:
            raise InputError(f"no method {word.strip()!r}; {nearest(name, table)}")
        changes.append(_made(name, table[name], {**numbers.get("", {}), **numbers.get(name, {})}))
    return changes


def with_given(
    filled: dict[str, dict[str, Any]], given: Mapping[str, Any], words: str | None = None
) -> dict[str, dict[str, Any]]:
    """The numbers with those given over them: `factor` is for all methods, `yarn.ramp` for one of them.

    words: the method that is used, as `method` takes it; None: all are. Raises InputError for a name that no method
    has, or none of those that are used, and for a number that is not finite.
    """
    table = known()
    used = {SHORT.get(word.strip(), word.strip()) for word in words.split("+")} if words is not None else set(table)
    for name, value in given.items():
        word, dot, field = name.rpartition(".")
        word = SHORT.get(word, word)
        if dot and word not in table:
            raise InputError(f"--set {name}: no method {word!r}; {nearest(word, table)}")
        has = {one.name for kind in ([table[word]] if dot else table.values()) for one in fields(kind)}
        if field not in has:
            raise InputError(
                f"--set {name}: {word + ' has no' if dot else 'no method has a'} {field!r}; {nearest(field, has)}"
            )
        users = {word} if dot else {one for one in table if field in {own.name for own in fields(table[one])}}
        if used <= table.keys() and not users & used:
            raise InputError(f"--set {name}: --method {words} takes no such number; leave it out, or name its method")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"--set {name}={number}: expected a finite number")
        if dot:
            filled.setdefault(word, {})[field] = value
            continue
        for numbers in filled.values():
            numbers.pop(field, None)
        filled.setdefault("", {})[field] = value
    return filled


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
