"""Our own decoder, read another way with the same weights."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.context_extension.method import Change, changed
from paribus.core.errors import InputError
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary


def extend_decoder(model: DecoderLM, changes: Sequence[Change]) -> DecoderLM:
    """A second model that shares the weights of the first, which stays as it is."""
    mixer = model.config.mixer
    pattern = mixer if isinstance(mixer, tuple) else (mixer,)
    config = replace(model.config, mixer=tuple(_read(one, changes) for one in pattern))
    if len(pattern) == 1:
        config = replace(config, mixer=config.mixer[0])  # type: ignore[index]
    with torch.device("meta"):
        other = config.build()
    other.load_state_dict(model.state_dict(keep_vars=True), assign=True)
    return other.train(model.training)


def _read(mixer: Any, changes: Sequence[Change]) -> Any:
    if not isinstance(mixer, GroupedQuery.Config) or not isinstance(mixer.position, Rotary):
        raise InputError(
            f"{type(mixer).__qualname__} has no rotary positions that a method could change: extension needs RoPE"
        )
    reading = changed(mixer.position, *changes)
    return replace(mixer, position=reading.position, scale=reading.scale or mixer.scale)
