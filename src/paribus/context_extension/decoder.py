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
    read = tuple(_read(one, changes) for one in mixer) if isinstance(mixer, tuple) else _read(mixer, changes)
    return _sharing(model, replace(model.config, mixer=read))


def extend_layers(model: DecoderLM, pattern: Sequence[Sequence[Change]]) -> DecoderLM:
    """As `extend_decoder`, with layer i read by pattern[i mod its length]; one without changes reads as trained."""
    if not pattern or not any(pattern):
        raise InputError("no method is given for any layer: name at least one, such as [[ReRoPE(window=2048)], []]")
    mixer, n_layers = model.config.mixer, model.config.n_layers
    own = (mixer if isinstance(mixer, tuple) else (mixer,)) * n_layers
    read = tuple(
        _read(own[layer], changes) if (changes := pattern[layer % len(pattern)]) else own[layer]
        for layer in range(n_layers)
    )
    return _sharing(model, replace(model.config, mixer=read))


def _sharing(model: DecoderLM, config: DecoderLM.Config) -> DecoderLM:
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
