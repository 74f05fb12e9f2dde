"""Hugging Face's rope dictionary <-> Rotary. An incomplete one is refused: a silent base of 10000 ruins a model."""

from collections.abc import Mapping
from typing import Any

from paribus.core.errors import InputError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.unscaled import Unscaled


def rotary_of(config: Mapping[str, Any]) -> Rotary:
    """From `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (4)."""
    told = config.get("rope_parameters")
    if told is None:
        told = {**(config.get("rope_scaling") or {})}
        if "rope_theta" in config:
            told.setdefault("rope_theta", config["rope_theta"])
    if "rope_theta" not in told:
        raise InputError(
            "the config gives no rope_theta, neither by itself nor in rope_parameters: look it up in the model's paper "
            "and write it into config.json; no value is guessed"
        )
    kind = told.get("rope_type", told.get("type", "default"))
    base = float(told["rope_theta"])
    match kind:
        case "default":
            return Rotary(base=base)
        case "linear":
            return Rotary(base=base, scaling=PositionInterpolation(factor=float(_given(told, "factor", kind))))
        case _:
            raise InputError(f"the config has the rope type {kind!r}: known: default, linear")


def _given(told: Mapping[str, Any], name: str, kind: str) -> Any:
    if told.get(name) is None:
        raise InputError(f"the rope type {kind!r} of the config lacks {name!r}: complete config.json")
    return told[name]


def described(rotary: Rotary) -> dict[str, Any]:
    """`rope_parameters` for config.json; InputError where a checkpoint cannot say it."""
    if not rotary.separable:
        raise InputError(
            f"{type(rotary.map).__name__} maps distances, which no config.json can say: "
            "save the model with save_model, and read it with paribus"
        )
    match rotary.scaling:
        case Unscaled():
            return {"rope_type": "default", "rope_theta": rotary.base}
        case PositionInterpolation(factor=factor):
            return {"rope_type": "linear", "rope_theta": rotary.base, "factor": factor}
        case other:
            raise InputError(f"{type(other).__name__} has no name in config.json")
