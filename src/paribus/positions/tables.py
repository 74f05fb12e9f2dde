"""Tables of cos and sin, made once for positions that queries, keys and all layers of a step share."""

from collections.abc import Callable, Hashable, MutableMapping

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from paribus.ops import kernels

Table = tuple[Tensor, Tensor]
# What was made for positions that are still in use, with the version of the tensor that it was made from.
TABLES: MutableMapping[Tensor, dict[Hashable, tuple[int, Table]]] = WeakIdKeyDictionary()


def table(code: Hashable, positions: Tensor, like: Tensor, make: Callable[[], Table]) -> Table:
    """make(), or what it gave before for this code, these positions and vectors of the width and type of `like`."""
    if kernels.mapped() or torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
        return make()
    kept = TABLES.setdefault(positions, {})
    key = (code, like.shape[-1], like.dtype, like.device)
    version, found = kept.get(key, (None, None))
    if found is None or version != positions._version:
        found = make()
        kept[key] = positions._version, found
    return found
