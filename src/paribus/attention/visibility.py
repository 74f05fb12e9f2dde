"""Which keys the queries of one call see: the layer's own mask, narrowed by that of the call."""

from typing import NamedTuple

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.base import Scale
from paribus.core.errors import InputError


class Visibility(NamedTuple):
    mask: Tensor | None  # boolean, broadcastable to the scores; None under the plain causal mask, or when all is seen
    n_keys: Tensor | None  # keys that each query sees, where the scale asks for it
    causal: bool  # no query sees a later key
    plain_causal: bool  # exactly the causal mask over the same tokens


def visibility(
    own: Mask, extra: Mask | None, scale: Scale, batch: int, heads: int, n_before: int, n_queries: int, like: Tensor
) -> Visibility:
    """The queries stand at the places n_before ... n_before + n_queries - 1, the keys at all places up to the last."""
    k_indices = torch.arange(n_before + n_queries, device=like.device)
    q_indices = k_indices[n_before:]
    whole = own.within(extra)
    plain_causal = isinstance(whole, Causal) and n_before == 0
    # The last token alone sees all that came before it.
    everything = isinstance(whole, Causal) and n_queries == 1
    mask = None if plain_causal or everything else whole.dense(batch, heads, q_indices, k_indices)
    n_keys = None
    if scale.counts_keys:
        n_keys = (q_indices + 1)[None, None] if mask is None else mask.sum(dim=-1)
    return Visibility(mask, n_keys, whole.causal, plain_causal)


def refuse_to_look_ahead(mask: Mask) -> None:
    """Raise InputError unless the layer's mask allows decoding."""
    if not mask.causal:
        raise InputError(
            f"a layer with the mask {type(mask).__name__} sees later tokens and cannot generate: "
            "use a causal mask in every layer and head"
        )
