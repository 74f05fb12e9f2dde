"""Causal softmax attention with its scores in memory, the fastest program at short lengths on a CPU.

    P = softmax(c Q K^T + B),  B_mn = 0 for n <= m, -inf else;  O = P V

Three calls forward and five backward, a few heads at a time so that their scores stay in the processor's cache:

    dP = dO V^T,  dS = c P (dP - rowsum(P dP)),  dQ = dS K,  dK = dS^T Q,  dV = P^T dO

Slow twins: `written_out`, and `attend` of one piece under the causal mask.
"""

from typing import Any

import torch
from torch import Tensor

from paribus.layers.first_derivative import first_derivative_only
from paribus.ops import kernels

# Bytes of scores that are worked on at once: about half of a core's second cache.
AT_ONCE = 2**20


def causal_bias(n: int, like: Tensor) -> Tensor:
    """0 where a query sees a key, -inf where the key is later: (n, n), of the dtype and device of `like`."""
    return torch.full((n, n), -torch.inf, dtype=like.dtype, device=like.device).triu(1)


def materialised(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """q (batch, heads, n, head_dim), k, v (batch, kv_heads, n, .) over the same n tokens -> (batch, heads, n, .)."""
    if torch.is_autocast_enabled(q.device.type):  # as autocast would take the products
        q, k, v = (x.to(torch.get_autocast_dtype(q.device.type)) for x in (q, k, v))
    batch, heads, n, head_dim = q.shape
    groups = k.shape[1]
    # Query heads that share a key head are stacked along the length.
    rows = q.reshape(batch * groups, heads // groups * n, head_dim)
    keys, values = (x.reshape(batch * groups, n, x.shape[-1]) for x in (k, v))
    if kernels.usable(rows, keys, values) and q.dtype == k.dtype == v.dtype:
        out: Tensor = _Causal.apply(rows, keys, values, scale)  # type: ignore[no-untyped-call]
    else:
        out = written_out(rows, keys, values, scale)
    return out.view(batch, heads, n, v.shape[-1])


def written_out(rows: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """rows (groups, shared * n, head_dim), keys, values (groups, n, .) -> (groups, shared * n, .)."""
    n = keys.shape[1]
    bias = causal_bias(n, rows).repeat(rows.shape[1] // n, 1)
    scores = torch.baddbmm(bias, rows, keys.transpose(1, 2), alpha=scale)
    return torch.bmm(torch.softmax(scores, dim=-1), values)


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        groups, n_rows, _ = rows.shape
        n = keys.shape[1]
        weights = torch.empty(groups, n_rows, n, dtype=rows.dtype)
        out = torch.empty(groups, n_rows, values.shape[2], dtype=rows.dtype)
        for some in _some(weights):
            torch.bmm(rows[some], keys[some].transpose(1, 2), out=weights[some])
            torch.bmm(kernels.causal_softmax_(weights[some], n, scale), values[some], out=out[some])
        ctx.save_for_backward(rows, keys, values, weights)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        first_derivative_only("materialised attention")
        rows, keys, values, weights = ctx.saved_tensors
        d_out = gradients[0].contiguous()
        d_rows, d_keys, d_values = (torch.empty_like(x) for x in (rows, keys, values))
        for some in _some(weights):
            d_scores = torch.bmm(d_out[some], values[some].transpose(1, 2))
            torch.bmm(weights[some].transpose(1, 2), d_out[some], out=d_values[some])
            kernels.causal_softmax_backward_(d_scores, weights[some], keys.shape[1], ctx.scale)
            torch.bmm(d_scores, keys[some], out=d_rows[some])
            torch.bmm(d_scores.transpose(1, 2), rows[some], out=d_keys[some])
        return d_rows, d_keys, d_values, None


def _some(weights: Tensor) -> list[slice]:
    """The groups in lots of at most AT_ONCE bytes of scores."""
    groups = len(weights)
    lot = max(1, AT_ONCE * groups // max(1, weights.numel() * weights.element_size()))
    return [slice(start, start + lot) for start in range(0, groups, lot)]
