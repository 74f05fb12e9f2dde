"""How the arms differ: the fields of their configs that are not those of the first arm, as code reads."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import groupby
from types import FunctionType
from typing import Any

from paribus.core.config import part_name
from paribus.lab.claim import Arm, Trained
from paribus.lab.plan import Plan


def config_of(plan: Plan, arm: str) -> Any:
    """The config of an arm, at its solved size."""
    return plan.sized[arm].config if arm in plan.sized else plan.claim.arm(arm).config


def differences(reference: Any, other: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, in the reference, in the other), outermost first; parts of different kinds are shown whole."""
    if _same(reference, other):
        return
    if _is_part(reference) and type(reference) is type(other):
        inner = [(field.name, getattr(reference, field.name), getattr(other, field.name)) for field in fields(other)]
    elif isinstance(reference, dict) and isinstance(other, dict):
        inner = [(str(key), reference.get(key), other.get(key)) for key in {**reference, **other}]
    else:
        ours, theirs = spell(reference), spell(other)
        if ours == theirs:
            ours, theirs = spell(reference, exact=True), spell(other, exact=True)
        yield path or "all of it", ours, theirs
        return
    for name, ours, theirs in inner:
        yield from differences(ours, theirs, f"{path}.{name}" if path else name)


def spell(value: Any, exact: bool = False) -> str:
    """A config as code reads, without what it leaves at its default: Rotary(base=100, map=ReRoPE(window=32)).

    Equal neighbours of a sequence are counted: (2 x Window(24), Full()). exact: all digits, and modules of functions.
    """
    if _is_part(value):
        told = [(field, getattr(value, field.name)) for field in fields(value)]
        given = [f"{field.name}={spell(one, exact)}" for field, one in told if _set(field, one)]
        return f"{part_name(type(value))}({', '.join(given)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={spell(one, exact)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        runs = [(one, len(list(same))) for one, same in groupby(spell(one, exact) for one in value)]
        items = [one if count == 1 else f"{count} x {one}" for one, count in runs]
        return "(" + ", ".join(items) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}" if exact else value.__qualname__
    return f"{value:g}" if isinstance(value, float) and not exact else str(value)


def described(plan: Plan, arm: Arm) -> str:
    """What an arm is, in a line: whose weights it has and how its config and its data differ from the first arm's."""
    first = plan.claim.arms[0].name
    origin = [origin_of(arm)] if plan.sized else []
    if arm.name == first:
        return "; ".join([*origin, "the others are set against it"])
    differing = list(differences(config_of(plan, first), config_of(plan, arm.name)))
    if isinstance(plan.task, Trained):
        differing += differences(plan.claim.data_of(plan.claim.arms[0]), plan.claim.data_of(arm), "data")
    found = [f"{field}: {ours} → {theirs}" for field, ours, theirs in differing]
    if arm.loss is not None:
        found.append(f"trained by {spell(arm.loss)}")
    return "; ".join([*origin, *(found or [f"the same config as {first}"])])


def origin_of(arm: Arm) -> str:
    """Where an arm's weights come from."""
    if arm.reads:
        return f"weights of {arm.reads}"
    return f"trained on from {arm.starts_from}" if arm.starts_from else "trained"


def _is_part(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _set(field: Field[Any], value: Any) -> bool:
    """Whether a field has another value than its default."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is MISSING or not _same(value, default)


def _same(ours: Any, theirs: Any) -> bool:
    try:
        return bool(ours == theirs)
    except (ValueError, RuntimeError):  # arrays and tensors, which have no one answer
        return repr(ours) == repr(theirs)
