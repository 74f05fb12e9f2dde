"""Hugging Face's rope dictionary <-> Rotary. An incomplete one is refused: a silent base of 10000 ruins a model.

Every fixed rewrite of frequencies can be said: `longrope` takes one factor a pair, which covers those that have no name
of their own there.
"""

import math
from collections.abc import Mapping
from typing import Any

from paribus.core.errors import InputError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.llama3 import Llama3
from paribus.positions.scaling.longrope import LongRoPE
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.unscaled import Unscaled
from paribus.positions.scaling.yarn import YaRN

KNOWN = "default, linear, yarn, llama3, longrope"
NUMBERS = (
    *("rope_theta", "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    *("attention_factor", "beta_fast", "beta_slow", "partial_rotary_factor"),
)


def rotary_of(config: Mapping[str, Any]) -> Rotary:
    """From `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (4)."""
    for name in ("rope_parameters", "rope_scaling"):
        if not isinstance(config.get(name), Mapping | None):
            raise InputError(f"config.json has {name} = {config[name]!r}: expected an object or null; correct it")
    told = config.get("rope_parameters")
    if told is None:
        told = {**(config.get("rope_scaling") or {})}
        if "rope_theta" in config:
            told.setdefault("rope_theta", config["rope_theta"])
    for name in NUMBERS:
        if not isinstance(told.get(name), int | float | None):
            raise InputError(f"config.json has {name} = {told[name]!r} for its rotation: expected a number; correct it")
    if told.get("rope_theta") is None:
        raise InputError(
            f"the config of this {config.get('model_type', 'nameless')!r} model gives no rope_theta, neither by itself "
            "nor in rope_parameters: if it has RoPE, look it up in the model's paper and write it into config.json; no "
            "value is guessed"
        )
    if told.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        raise InputError("the config rotates a part of each head only (partial_rotary_factor): it cannot be read here")
    return Rotary(base=float(told["rope_theta"]), scaling=_scaling(told))


def _scaling(told: Mapping[str, Any]) -> Any:
    kind = told.get("rope_type", told.get("type", "default"))

    def given(name: str) -> Any:
        if told.get(name) is None:
            raise InputError(f"the rope type {kind!r} of the config lacks {name!r}: complete config.json")
        return told[name]

    match kind:
        case "default":
            return Unscaled()
        case "linear":
            return PositionInterpolation(factor=float(given("factor")))
        case "yarn":
            return _yarn(told, float(given("factor")), int(given("original_max_position_embeddings")))
        case "llama3":
            return Llama3(
                factor=float(given("factor")),
                train_length=int(given("original_max_position_embeddings")),
                low=float(given("low_freq_factor")),
                high=float(given("high_freq_factor")),
            )
        case "longrope":
            if given("short_factor") != given("long_factor"):
                raise InputError(
                    "the config has other longrope factors for short texts than for long ones: choose one list and "
                    "write it as both"
                )
            length = int(given("original_max_position_embeddings"))
            extension = float(told.get("factor") or 1.0)
            if (attention := told.get("attention_factor")) is not None:
                # t = sqrt(1 + ln s / ln L0), solved for s
                extension = math.exp((float(attention) ** 2 - 1) * math.log(length))
            return LongRoPE(factors=tuple(map(float, told["long_factor"])), extension=extension, train_length=length)
        case _:
            raise InputError(f"the config has the rope type {kind!r}: known: {KNOWN}")


def _yarn(told: Mapping[str, Any], factor: float, length: int) -> YaRN:
    strange = [name for name in ("mscale", "mscale_all_dim") if told.get(name)]
    if strange or told.get("truncate") is False:
        raise InputError(f"the config's yarn has {', '.join(strange) or 'truncate: false'}, which is not read here")
    temperature = 0.1
    if (attention := told.get("attention_factor")) is not None and factor > 1:
        temperature = (float(attention) - 1) / math.log(factor)
    return YaRN(
        factor=factor,
        train_length=length,
        fast=float(told.get("beta_fast") or 32),
        slow=float(told.get("beta_slow") or 1),
        temperature=temperature,
    )


def described(rotary: Rotary, head_dim: int, train_length: int) -> dict[str, Any]:
    """`rope_parameters` for config.json; InputError where a checkpoint cannot say it.

    train_length: the length that the model was trained at, before any extension.
    """
    if not rotary.separable:
        what = "changes frequencies with the length" if rotary.scaling.changes else "maps distances"
        part = rotary.scaling if rotary.scaling.changes else rotary.map
        raise InputError(
            f"{type(part).__name__} {what}, which no config.json can say: "
            "save the model with save_model, and read it with paribus"
        )
    told: dict[str, Any] = {"rope_theta": rotary.base}
    match rotary.scaling:
        case Unscaled():
            return told | {"rope_type": "default"}
        case PositionInterpolation(factor=factor):
            return told | {"rope_type": "linear", "factor": factor}
        case YaRN(ramp="code") as yarn:
            return told | {
                "rope_type": "yarn",
                "factor": yarn.factor,
                "original_max_position_embeddings": yarn.train_length,
                "beta_fast": yarn.fast,
                "beta_slow": yarn.slow,
                "attention_factor": yarn.magnitude,
            }
        case Llama3() as llama3:
            return told | {
                "rope_type": "llama3",
                "factor": llama3.factor,
                "original_max_position_embeddings": llama3.train_length,
                "low_freq_factor": llama3.low,
                "high_freq_factor": llama3.high,
            }
        case other:
            plain = Rotary(base=rotary.base).frequencies(head_dim)
            factors = (plain / rotary.frequencies(head_dim)).tolist()
            return told | {
                "rope_type": "longrope",
                "short_factor": factors,
                "long_factor": factors,
                "factor": 1.0,
                "attention_factor": other.magnitude,
                "original_max_position_embeddings": train_length,
            }
