"""How the arms differ: the fields of their configs that are not those of the first arm."""

from collections.abc import Iterator
from typing import Any

from paribus.core.config import to_dict
from paribus.core.errors import ConfigError
from paribus.lab.claim import Arm
from paribus.lab.plan import Plan


def config_of(plan: Plan, arm: str) -> Any:
    """The config of an arm at its solved size, as plain data; its text where it has no such form."""
    config = plan.sized[arm].config if arm in plan.sized else plan.claim.arm(arm).config
    try:
        return to_dict(config)
    except ConfigError:
        return repr(config)


def differences(reference: Any, other: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, in the reference, in the other), outermost first; parts of different kinds are shown whole."""
    if reference == other:
        return
    both = isinstance(reference, dict) and isinstance(other, dict)
    if both and reference.get("part") == other.get("part"):
        for key in sorted({*reference, *other}):
            yield from differences(reference.get(key), other.get(key), f"{path}.{key}" if path else key)
    else:
        yield path or "all of it", spell(reference), spell(other)


def spell(value: Any) -> str:
    """Plain data as code reads: Rotary(base=10000, map=ReRoPE(window=32))."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key}={spell(one)}" for key, one in value.items() if key != "part")
        return f"{value['part']}({inner})" if "part" in value else "{" + inner + "}"
    if isinstance(value, list):
        return "(" + ", ".join(map(spell, value)) + ("," if len(value) == 1 else "") + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def described(plan: Plan, arm: Arm) -> str:
    """What an arm is, in a line: whose weights it has and how its config differs from the first arm's."""
    first = plan.claim.arms[0].name
    origin = [origin_of(arm)] if plan.sized else []
    if arm.name == first:
        return "; ".join([*origin, "the others are set against it"])
    differing = differences(config_of(plan, first), config_of(plan, arm.name))
    found = [f"{field}: {ours} → {theirs}" for field, ours, theirs in differing]
    if arm.loss is not None:
        found.append(f"trained by {spell(to_dict(arm.loss))}")
    return "; ".join([*origin, *(found or [f"the same config as {first}"])])


def origin_of(arm: Arm) -> str:
    """Where an arm's weights come from."""
    if arm.reads:
        return f"weights of {arm.reads}"
    return f"trained on from {arm.starts_from}" if arm.starts_from else "trained"
