"""Causal softmax attention with its scores in memory: three calls, and the fastest program at short lengths on a CPU.

    P = softmax(c Q K^T + B),  B_mn = 0 for n <= m, -inf else;  O = P V

Scale and mask ride on the matrix product (baddbmm), so the scores are written once and read once. The slow twin is
`attend` of one piece under the causal mask.
"""

import torch
from torch import Tensor


def causal_bias(n: int, like: Tensor) -> Tensor:
    """0 where a query sees a key, -inf where the key is later: (n, n), of the dtype and device of `like`."""
    return torch.full((n, n), -torch.inf, dtype=like.dtype, device=like.device).triu(1)


def materialised(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """q (batch, heads, n, head_dim), k, v (batch, kv_heads, n, .) over the same n tokens -> (batch, heads, n, .)."""
    batch, heads, n, head_dim = q.shape
    groups = k.shape[1]
    shared = heads // groups  # query heads that share a key head, stacked along the length
    rows = q.reshape(batch * groups, shared * n, head_dim)
    bias = causal_bias(n, q).repeat(shared, 1)
    scores = torch.baddbmm(bias, rows, k.reshape(batch * groups, n, head_dim).transpose(1, 2), alpha=scale)
    weights = torch.softmax(scores, dim=-1)
    return torch.bmm(weights, v.reshape(batch * groups, n, v.shape[-1])).view(batch, heads, n, v.shape[-1])
