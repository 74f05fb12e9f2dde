"""An unmodified transformers model, read with another method: its rotary tables and its attention are exchanged.

A rewrite of frequencies only fills the model's own table. A map of distances needs raw queries and keys, so the table
becomes a rotation by zero, the model's cache then holds raw keys, and the attention turns them piece by piece. Another
attention on such a model would be wrong without a word: the table refuses to serve one. So would a cache that the model
filled under another reading: caches are marked with theirs, and others are refused.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from paribus.attention import backends
from paribus.attention.layout import Layout
from paribus.attention.one_token import one_token
from paribus.attention.piecewise import piecewise
from paribus.attention.visibility import Visibility
from paribus.context_extension.method import Change, Reading, changed, check_reach
from paribus.core.errors import InputError, optional
from paribus.models.checkpoints.rope import rotary_of
from paribus.normalizers.softmax import Softmax

NAME = "paribus"  # under which our attention is known to transformers
BEFORE, READING, GUARDED = "_paribus_before", "_paribus_reading", "_paribus_guarded"


def is_transformers(model: Any) -> bool:
    return hasattr(model, "set_attn_implementation") and hasattr(model, "config")


def extend_transformers(model: Any, changes: Sequence[Change]) -> Any:
    """Change the model in place and return it. Raises InputError for a model without one rotary table."""
    if hasattr(model, BEFORE):
        restore_transformers(model)
    tables = [module for module in model.modules() if hasattr(module, "inv_freq")]
    if len(tables) != 1 or not hasattr(tables[0], "attention_scaling"):
        raise InputError(
            f"{type(model).__name__} has {len(tables)} rotary tables: extension needs a model with RoPE and one table "
            "for all layers, such as Llama"
        )
    config = model.config.to_dict()
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    reading = changed(rotary_of(config), *changes)
    reading.position.check_head_dim(head_dim)
    if (trained := config.get("max_position_embeddings")) is not None:
        check_reach(changes, trained)
    (table,) = tables
    before = (table.inv_freq.clone(), table.attention_scaling, model.config._attn_implementation)
    if reading.rewrites_only:
        table.inv_freq.copy_(reading.position.frequencies(head_dim))
        table.attention_scaling = reading.position.scaling.magnitude
    else:
        _register()
        for layer in _attentions(model):
            setattr(layer, READING, reading)
        table.forward = _Still(table, model.config)
        model.set_attn_implementation(NAME)
    setattr(model, BEFORE, before)
    setattr(model, READING, reading)
    if not hasattr(model, GUARDED):
        model.register_forward_pre_hook(_refuse_other_caches, with_kwargs=True)
        model.register_forward_hook(_mark_cache, with_kwargs=True)
        setattr(model, GUARDED, True)  # for good: a restored model must not read the caches of before
    return model


def restore_transformers(model: Any) -> Any:
    """Undo `extend_transformers`, in place."""
    if not hasattr(model, BEFORE):
        raise InputError(f"{type(model).__name__} is not extended: nothing to restore")
    frequencies, scaling, attention = getattr(model, BEFORE)
    (table,) = [module for module in model.modules() if hasattr(module, "inv_freq")]
    table.inv_freq.copy_(frequencies)
    table.attention_scaling = scaling
    table.__dict__.pop("forward", None)
    for layer in _attentions(model):
        layer.__dict__.pop(READING, None)
    if model.config._attn_implementation != attention:
        model.set_attn_implementation(attention)
    delattr(model, BEFORE)
    delattr(model, READING)
    return model


def _refuse_other_caches(model: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Before each forward pass."""
    cache, mine = named.get("past_key_values"), getattr(model, READING, None)
    if cache is None or not hasattr(cache, "get_seq_length"):
        return
    if int(cache.get_seq_length()) == 0:
        setattr(cache, READING, mine)
    elif (filled := getattr(cache, READING, None)) != mine:
        raise InputError(
            f"this cache was filled by {_spell(filled)}, and {_spell(mine)} is to go on with it: its keys stand for "
            "other positions. Start with an empty cache, and give the whole text again"
        )


def _mark_cache(model: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
    """After each forward pass, which may have made the cache."""
    for cache in out if isinstance(out, tuple) else (getattr(out, "past_key_values", None),):
        if hasattr(cache, "get_seq_length"):
            setattr(cache, READING, getattr(model, READING, None))


def _spell(reading: Reading | None) -> str:
    if reading is None:
        return "the model as it was trained"
    return f"{reading.position!r}" if reading.scale is None else f"{reading.position!r} with {reading.scale!r}"


def _attentions(model: Any) -> list[nn.Module]:
    found = [module for module in model.modules() if hasattr(module, "layer_idx") and hasattr(module, "q_proj")]
    if not found:
        raise InputError(
            f"{type(model).__name__} has no attention layers that are known here: expected a Llama-type one"
        )
    return found


class _Still:
    """In place of the table's forward: no rotation, so that queries and keys stay raw."""

    def __init__(self, table: nn.Module, config: Any) -> None:
        self.width, self.config = 2 * len(table.get_buffer("inv_freq")), config

    def __call__(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        if self.config._attn_implementation != NAME:
            raise InputError(
                f"the attention of an extended model was set to {self.config._attn_implementation!r}, which would read "
                "keys without their rotation: call restore(model) first"
            )
        shape = (*position_ids.shape, self.width)
        return x.new_ones(shape), x.new_zeros(shape)


def _register() -> None:
    from importlib import import_module

    optional("transformers", "transformers")
    masks, models = import_module("transformers.masking_utils"), import_module("transformers.modeling_utils")

    def visible(batch_size: int, q_length: int, kv_length: int, **told: Any) -> Tensor | None:
        """None: plainly causal. (batch, 1, 1, n_keys): causal over keys with padding on the left. Else a whole table.

        n_keys ends with the last query's own key, while a cache of fixed size has room behind it.
        """
        offset = told.get("kv_offset", 0)
        end = int(told.get("q_offset", 0)) + q_length - offset
        padding: Tensor | None = masks.prepare_padding_mask(told.get("attention_mask"), kv_length, offset)
        valid = None if padding is None else padding[:, offset : offset + kv_length]
        causal = told.get("mask_function", masks.causal_mask_function) is masks.causal_mask_function
        if not causal or end != kv_length or (valid is not None and bool((valid[:, 1:] < valid[:, :-1]).any())):
            table: Tensor = masks.sdpa_mask(batch_size, q_length, kv_length, **{**told, "allow_is_causal_skip": False})
            return table[..., :end]
        return None if valid is None or bool(valid.all()) else valid[:, None, None]

    models.AttentionInterface.register(NAME, _attention)
    masks.AttentionMaskInterface.register(NAME, visible)


def _attention(
    layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **told: Any
) -> tuple[Tensor, None]:
    """Raw q (batch, heads, n_queries, d), k and v (batch, kv_heads, n_keys, d) -> (batch, n_queries, heads, d)."""
    reading: Reading = getattr(layer, READING)
    n_queries = query.shape[2]
    n_keys = key.shape[2] if mask is None else min(key.shape[2], mask.shape[-1])
    key, value = key[:, :, :n_keys], value[:, :, :n_keys]
    seen = _seen(None if mask is None else mask[..., :n_keys], n_queries, n_keys, key)
    q_positions = told.get("position_ids")
    if q_positions is None:
        q_positions = torch.arange(n_keys - n_queries, n_keys, device=query.device)[None]
    k_positions = q_positions
    if n_queries < n_keys:
        # The keys before the queries stand one by one before them; on padding, which nothing sees, at 0.
        places = torch.arange(n_keys, device=key.device) - (n_keys - 1)
        k_positions = (q_positions[:, -1:] + places).clamp_min(0)
    scale = float(told.get("scaling") or query.shape[-1] ** -0.5)
    if reading.scale is not None:
        query, key, scale = reading.scale(query, key, seen.n_keys if reading.scale.counts_keys else None)
    at: Any = {"position": reading.position, "q_positions": q_positions, "k_positions": k_positions, "scale": scale}
    at["normalizer"] = Softmax()
    out = None
    if n_queries == 1:
        out = one_token(query, key, value, **at, mask=seen.mask)
    else:
        out = piecewise(query, key, value, **at, layout=seen.layout)
    if out is None:
        more: Any = {"mask": seen.mask, "causal": True, "plain_causal": seen.plain_causal}
        out = backends.run(query, key, value, **at, **more, keys_rotated=False)
    return out.transpose(1, 2), None


def _seen(mask: Tensor | None, n_queries: int, n_keys: int, like: Tensor) -> Visibility:
    """What the last queries see of the keys: `mask` is one of those that `_register` tells of, or the user's table."""
    index = torch.arange(n_keys, device=like.device)
    last = index[n_keys - n_queries :]

    def causal() -> Tensor:
        return (index <= last[:, None])[None, None]

    if mask is None:
        few, everything = Layout(), n_queries in (1, n_keys)
        return Visibility(None if everything else causal, few.n_keys(last, n_keys), True, n_queries == n_keys, few)
    if mask.shape[2] == 1 and mask.dtype == torch.bool and bool((mask[..., 1:] >= mask[..., :-1]).all()):
        few = Layout(valid=mask[:, 0, 0])
        return Visibility(lambda: causal() & mask, few.n_keys(last, n_keys), True, False, few)
    table = (mask if mask.dtype == torch.bool else mask >= 0) & (index <= last[:, None])
    return Visibility(lambda: table, table.sum(dim=-1), True, False)
