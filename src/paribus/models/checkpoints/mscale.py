"""DeepSeek's yarn, which divides YaRN's temperature between the rotary part and all scores.

    m(c) = 0.1 c ln s + 1;  the rotary part times m(mscale) / m(mscale_all_dim), scores times m(mscale_all_dim)^2

As in the published code mscale is 1 and mscale_all_dim 0 where they are not told. transformers 5.23 agrees where both
are told, as in DeepSeek's checkpoints; where one is absent its rotary part is m(1).
"""

import math
from collections.abc import Mapping
from typing import Any

from paribus.core.errors import InputError
from paribus.models.checkpoints.architecture import number
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.yarn import YaRN

HOLDERS = ("rope_parameters", "rope_scaling")
NAMES = ("mscale", "mscale_all_dim")


def without_mscale(told: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """config.json with the rotary part's factor as attention_factor, and the factor of the scores."""
    holder = next((name for name in HOLDERS if isinstance(told.get(name), Mapping)), None)
    rope = told[holder] if holder is not None else {}
    if holder is None or all(rope.get(name) is None for name in NAMES):
        return dict(told), 1.0
    if rope.get("rope_type", rope.get("type")) != "yarn":
        raise InputError("config.json has mscale for a rotation that is not yarn, which is not read here")
    factor = number(rope, "factor", 1.0)
    everywhere = _magnitude(factor, number(rope, "mscale_all_dim", 0.0))
    turned = number(rope, "attention_factor", _magnitude(factor, number(rope, "mscale", 1.0)) / everywhere)
    if turned < 1:
        raise InputError("config.json has mscale below mscale_all_dim: such a yarn cannot be read here")
    kept = {name: value for name, value in rope.items() if name not in NAMES}
    return {**told, holder: {**kept, "attention_factor": turned}}, everywhere**2


def mscale_described(rotary: Rotary, factor: float) -> dict[str, Any]:
    """Entries of rope_parameters that multiply the scores. Raises InputError where they cannot be said."""
    if factor == 1:
        return {}
    yarn = rotary.scaling
    if not isinstance(yarn, YaRN) or yarn.factor <= 1 or factor < 1:
        raise InputError(
            f"scores times {factor} can be said in config.json only where they grow beside YaRN: save the model by "
            "save_model"
        )
    each = 0.1 * math.log(yarn.factor)
    return {"mscale": (yarn.magnitude * factor**0.5 - 1) / each, "mscale_all_dim": (factor**0.5 - 1) / each}


def _magnitude(factor: float, c: float) -> float:
    return 0.1 * c * math.log(factor) + 1 if factor > 1 else 1.0
