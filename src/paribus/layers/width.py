"""Parts inside a model take the model's width unless they name their own, which must then agree."""

from dataclasses import replace
from typing import Any, TypeVar

from paribus.core.config import part_name, require

C = TypeVar("C", bound=Any)


def with_width(config: C, d_model: int) -> C:
    """The same config with its d_model filled in; ConfigError when it already has another one."""
    if config.d_model is None:
        return replace(config, d_model=d_model)
    require(
        config.d_model == d_model,
        f"{part_name(type(config))}.d_model = {config.d_model} inside a model of width {d_model}: "
        "leave it out, or make the two equal",
    )
    return config


def width(config: Any) -> int:
    """The d_model of a config that is about to be built or priced."""
    require(
        config.d_model is not None,
        f"{part_name(type(config))} has no d_model: give one, or put the part into a model",
    )
    return int(config.d_model)
