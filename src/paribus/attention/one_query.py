"""Attention of one query a head over keys that lie in several places, each met by a query of its own: one softmax.

    s_n = c <q_r, k_n>,  r the run that holds key n;   o = sum_n normalize(s)_n v_n

A step of decoding reads every key and value once, which is nearly all its time. On a CPU a kernel does so for all query
heads of a group at once, in float32; elsewhere, and for other normalizers than softmax, each run has its own products.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paribus.attention.attend import grouped_scores, grouped_values
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels

LARGE = 2**16  # numbers of keys and values; below, the call costs more than the reading
# Above, query heads that share keys in 32 bits are read faster by the kernel than by torch's fused one, which reads the
# keys once for each of them.
SHARED = 2**20


class Run(NamedTuple):
    """q (batch, heads, 1, d) as it meets these keys, k (batch, kv_heads, n, d), v (batch, kv_heads, n, e)."""

    query: Tensor
    keys: Tensor
    values: Tensor


def one_query(runs: Sequence[Run], *, scale: float, normalizer: Normalizer, mask: Tensor | None) -> Tensor:
    """(batch, heads, 1, e), zeros where nothing is seen. mask: broadcastable to (batch, heads, 1, n_keys), or None."""
    if streamed(runs, normalizer, mask, LARGE):
        return kernels.one_query(runs, scale, None if mask is None else mask[:, 0, 0])
    scores = torch.cat([grouped_scores(run.query * scale, run.keys) for run in runs], dim=-1)
    weights = normalizer(scores, mask).to(runs[0].values.dtype)
    parts = weights.split([run.keys.shape[2] for run in runs], dim=-1)
    return torch.stack([grouped_values(part, run.values) for part, run in zip(parts, runs, strict=True)]).sum(dim=0)


def beats_fused(run: Run, normalizer: Normalizer, mask: Tensor | None) -> bool:
    """Whether the kernel takes this, and takes it faster than torch's fused one: measured on a CPU."""
    shared = run.query.shape[1] != run.keys.shape[1]
    return shared and run.query.dtype == torch.float32 and streamed([run], normalizer, mask, SHARED)


def streamed(runs: Sequence[Run], normalizer: Normalizer, mask: Tensor | None, numbers: int) -> bool:
    """Whether the kernel computes this, of at least so many numbers of keys and values."""
    if not isinstance(normalizer, Softmax) or sum(run.keys.numel() + run.values.numel() for run in runs) < numbers:
        return False
    tensors = [x for run in runs for x in run]
    if not kernels.usable(*tensors):
        return False
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        return False
    one_type = len({x.dtype for x in tensors}) == 1 and all(x.stride(-1) == 1 for x in tensors)
    batch, keys = len(runs[0].query), sum(run.keys.shape[2] for run in runs)
    rows = ((1, 1, 1, keys), (batch, 1, 1, keys))  # one for all heads of a text
    return one_type and (mask is None or (mask.is_cpu and mask.shape in rows))
