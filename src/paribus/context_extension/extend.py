"""`extend(model, ReRoPE(window=2048))`: one call for our decoder and for a transformers model."""

from typing import Any

from paribus.context_extension.decoder import extend_decoder
from paribus.context_extension.method import Change
from paribus.context_extension.transformers_model import extend_transformers, is_transformers, restore_transformers
from paribus.core.errors import InputError
from paribus.models.decoder import DecoderLM


def extend(model: Any, *changes: Change) -> Any:
    """Read longer than trained, without training.

    changes: at most one scaling of frequencies, one map of distances and one scale of scores, such as
    `NTKAware(factor=4)`, `ReRoPE(window=2048)`, `LogLength(base=8192, at_least_one=True)`; or a whole Rotary.

    A DecoderLM is left as it is; the result shares its weights.

    A transformers model is changed in place, works with `generate()`, batches, left padding and gaps between positions,
    and is undone by `restore`. Scalings that only rewrite frequencies take any attention, and `save_pretrained` writes
    them into config.json. Maps, scales and dynamic NTK exchange the attention. A trial over eight tokens then finds out
    whether ours computes what the model's computes, and which pairs each layer turns: layers without rotation are left
    alone. `save_pretrained` warns, since config.json cannot say such a method.

    Raises InputError for two changes of one kind, for a window longer than the trained length, and for a model with
    more than RoPE under one causal softmax (softcap, sinks, latent attention ...) where the attention is exchanged; a
    transformers model is then as it was trained.
    """
    if isinstance(model, DecoderLM):
        return extend_decoder(model, changes)
    if is_transformers(model):
        return extend_transformers(model, changes)
    raise InputError(
        f"{type(model).__name__} cannot be extended: expected a DecoderLM or a transformers model with RoPE"
    )


def restore(model: Any) -> Any:
    """A transformers model as it was before `extend`."""
    return restore_transformers(model)
