"""Which keys the queries of one call see: the layer's own mask, narrowed by that of the call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from paribus.attention.layout import Layout, layout
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.base import Scale
from paribus.core.errors import InputError


@dataclass(frozen=True)
class Visibility:
    table: Callable[[], Tensor] | None
    n_keys: Tensor | None  # keys that each query sees, where the scale asks for it
    causal: bool  # no query sees a later key
    plain_causal: bool  # exactly the causal mask over the same tokens
    layout: Layout | None = None  # the mask in few words, where it has such a form

    @cached_property
    def mask(self) -> Tensor | None:
        """Boolean, broadcastable to the scores; None under the plain causal mask, or when all is seen.

        Made when it is first asked for: a fast program needs no such table.
        """
        return None if self.table is None else self.table()


def visibility(
    own: Mask, extra: Mask | None, scale: Scale, batch: int, heads: int, n_before: int, n_queries: int, like: Tensor
) -> Visibility:
    """The queries stand at the places n_before ... n_before + n_queries - 1, the keys at all places up to the last."""
    whole = own.within(extra)
    if isinstance(whole, Causal) and n_queries == 1 and not scale.counts_keys:
        return Visibility(None, None, causal=True, plain_causal=n_before == 0, layout=layout(whole))
    k_indices = torch.arange(n_before + n_queries, device=like.device)
    q_indices = k_indices[n_before:]
    plain_causal = isinstance(whole, Causal) and n_before == 0
    # The last token alone sees all that came before it.
    everything = isinstance(whole, Causal) and n_queries == 1
    table = None if plain_causal or everything else partial(whole.dense, batch, heads, q_indices, k_indices)
    few = layout(whole)
    whole.check_size(batch, len(k_indices))
    n_keys = None
    if scale.counts_keys:
        n_keys = (
            whole.dense(batch, heads, q_indices, k_indices).sum(-1)
            if few is None
            else few.n_keys(q_indices, len(k_indices))
        )
    return Visibility(table, n_keys, whole.causal, plain_causal, few)


def refuse_to_look_ahead(mask: Mask) -> None:
    """Raise InputError unless the layer's mask allows decoding."""
    if not mask.causal:
        raise InputError(
            f"a layer with the mask {type(mask).__name__} sees later tokens and cannot generate: "
            "use a causal mask in every layer and head"
        )
