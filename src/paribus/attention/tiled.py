"""Causal softmax attention of 16-bit heads on matrix units (AMX of recent x86 processors), nothing quadratic kept.

    O = softmax(c Q K^T + B) V,  B_mn = 0 for n <= m, -inf else

A few rows at a time stay in the processor's cache from their scores to their output; backward computes the weights
again from the stored log-sum-exp of each row. Scores and sums are float32, weights are rounded to 16 bits as operands.
Slow twins: `materialised.written_out`, and `attend` of one piece under the causal mask.
Source: Dao et al., FlashAttention, arXiv:2205.14135, algorithms 1 and 4.
"""

from typing import Any

import torch
from torch import Tensor

from paribus.layers.first_derivative import first_derivative_only
from paribus.ops import kernels


def available(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """True where this processor has the units, and autocast or the tensors themselves ask for 16 bits."""
    short = all(_dtype(x) == torch.bfloat16 for x in (q, k, v))
    return short and kernels.usable(q, k, v) and kernels.attention_available()


def tiled(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """q (batch, heads, n, head_dim), k, v (batch, kv_heads, n, .) over the same n tokens -> (batch, heads, n, .).

    The result lies in memory as (batch, n, heads, .), as the next projection reads it.
    """
    out: Tensor = _Tiled.apply(*(x.to(_dtype(x)) for x in (q, k, v)), scale)  # type: ignore[no-untyped-call]
    return out


def _dtype(x: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        out, log_sums = kernels.attention(q, k, v, scale)
        ctx.save_for_backward(q, k, v, out, log_sums)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        first_derivative_only("tiled attention")
        q, k, v, out, log_sums = ctx.saved_tensors
        return *kernels.attention_backward(gradients[0], q, k, v, out, log_sums, ctx.scale), None
