"""Our attention under the interface of transformers: raw queries and keys are turned here, piece by piece."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from paribus.attention import backends
from paribus.attention.one_token import one_token
from paribus.attention.piecewise import piecewise
from paribus.attention.scales.base import Scale
from paribus.context_extension.transformers_cache import Places
from paribus.context_extension.transformers_mask import masking, seen
from paribus.core.errors import InputError, optional
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Position
from paribus.positions.no_position import NoPosition

NAME = "paribus"  # under which our attention is known to transformers
HEADS = "_paribus_heads"
# What a model may tell its attention that changes no number of it, or is in the mask already.
HARMLESS = {
    *("position_ids", "cache_position", "scaling", "sliding_window", "use_cache", "past_key_values", "return_dict"),
    *("position_embeddings", "output_hidden_states", "output_router_logits", "logits_to_keep", "num_items_in_batch"),
}


@dataclass
class Heads:
    """How one layer reads. heard: the queries and keys that came here, during a trial."""

    position: Position
    scale: Scale | None
    places: Places
    heard: list[tuple[Tensor, Tensor]] | None = None


def register() -> None:
    optional("transformers", "transformers")
    masks, models = import_module("transformers.masking_utils"), import_module("transformers.modeling_utils")
    models.AttentionInterface.register(NAME, attention)
    masks.AttentionMaskInterface.register(NAME, masking(masks))


def attention(
    layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **told: Any
) -> tuple[Tensor, None]:
    """Raw q (batch, heads, n_queries, d), k and v (batch, kv_heads, n_keys, d) -> (batch, n_queries, heads, d).

    Raises InputError where more is asked for than a causal softmax under a mask.
    """
    heads: Heads | None = getattr(layer, HEADS, None)
    if heads is None:
        raise InputError(f"{type(layer).__name__} reads by the attention of an extended model, and was not extended")
    _refuse(layer, told)
    if heads.heard is not None:
        heads.heard.append((query, key))
    n_queries = query.shape[2]
    n_keys = key.shape[2] if mask is None else min(key.shape[2], mask.shape[-1])
    key, value = key[:, :, :n_keys], value[:, :, :n_keys]
    mask = None if mask is None else mask[..., :n_keys]
    shown = seen(mask, n_queries, n_keys, key)
    q_positions, k_positions, strays = _places(heads, told.get("position_ids"), n_queries, n_keys, query)
    scale = float(told.get("scaling") or query.shape[-1] ** -0.5)
    if heads.scale is not None:
        query, key, scale = heads.scale(query, key, shown.n_keys if heads.scale.counts_keys else None)
    at: Any = {"position": heads.position, "q_positions": q_positions, "k_positions": k_positions, "scale": scale}
    at["normalizer"] = Softmax()
    out = None
    if n_queries > 1:
        out = piecewise(query, key, value, **at, layout=shown.layout)
    elif strays is None or not _sees(strays, mask):  # which goes by how many keys lie between
        out = one_token(query, key, value, **at, mask=shown.mask)
    if out is None:
        more: Any = {"mask": shown.mask, "causal": True, "plain_causal": shown.plain_causal}
        out = backends.run(query, key, value, **at, **more, keys_rotated=False)
    return out.transpose(1, 2), None


def _refuse(layer: nn.Module, told: dict[str, Any]) -> None:
    """Raise InputError for what would change numbers and is not done here."""
    for name, value in told.items():
        fine = value is None or name in HARMLESS or value is (name == "is_causal") or (name == "dropout" and value == 0)
        if not fine:
            spelled = value if isinstance(value, bool | int | float | str) else f"a {type(value).__name__}"
            raise InputError(
                f"{type(layer).__name__} asks its attention for {name} = {spelled}, which is not done under a map of "
                "distances or a scale: use a rewrite of frequencies, such as YaRN, on such a model"
            )


def _places(heads: Heads, told: Any, n_queries: int, n_keys: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Positions of queries and keys, and which keys stand elsewhere than their number says."""
    if isinstance(heads.position, NoPosition):
        index = torch.arange(n_keys, device=like.device)[None]
        return index[:, n_keys - n_queries :], index, None
    if n_queries == n_keys and isinstance(told, Tensor) and told.shape[-1] == n_keys:
        return told, told, None  # also where a layer is computed anew for its gradient, passes later
    k_positions, strays = heads.places.keys(n_keys, like.device)
    return k_positions[:, n_keys - n_queries :], k_positions, strays


def _sees(keys: Tensor, mask: Tensor | None) -> bool:
    """Does any query see any of these keys? keys: (batch or 1, n_keys)"""
    if mask is None:
        return True
    shown = mask if mask.dtype == torch.bool else mask >= 0
    return bool((keys & shown[:, 0].any(dim=1)).any())
