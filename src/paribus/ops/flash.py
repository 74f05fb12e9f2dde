"""Torch's stock attention kernels with their log-sum-exp, and their backward with somebody else's.

    forward:  (q, k, v) -> o, l     o = softmax(c q k^T) v,  l = log sum_n exp(c q k_n)
    backward: dS = P * (dO v^T - rowsum(dO * O)),  P = exp(c q k^T - L)

Where the pairs of one softmax are spread over several calls, each call's backward with the *whole* softmax's output O
and log-sum-exp L gives exactly its share of the gradients: nothing else of the other calls enters dS.

q (batch, heads, n, d), k and v (batch, heads, m, d), any strides but the last. `causal` hides column > row; `bias` is
added to the scores, (n, m).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_CUDA = torch.ops.aten._scaled_dot_product_efficient_attention
_CUDA_BACKWARD = torch.ops.aten._scaled_dot_product_efficient_attention_backward


def flash(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """o (batch, heads, n, d) and l (batch, heads, n), which is float32 where q has 16 bits."""
    if q.device.type == "cpu":
        out, lse = _CPU(q, k, v, 0.0, causal, attn_mask=bias, scale=scale)
        return out, lse
    assert bias is None
    out, lse, *_ = _CUDA(q, k, v, None, True, 0.0, causal, scale=scale)
    return out, lse[..., : q.shape[2]]  # the kernel pads its rows


def flash_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, scale: float, causal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v that these pairs contribute, given the whole softmax's `out` and `lse`."""
    if q.device.type == "cpu":
        dq, dk, dv = _CPU_BACKWARD(grad, q, k, v, out, lse, 0.0, causal, scale=scale)
        return dq, dk, dv
    padded = F.pad(lse, (0, -q.shape[2] % 32), value=torch.inf)
    none = torch.zeros((), dtype=torch.int64, device=q.device)
    wanted = [True, True, True, False]
    dq, dk, dv, _ = _CUDA_BACKWARD(grad, q, k, v, None, out, padded, none, none, 0.0, wanted, causal, scale=scale)
    return dq, dk, dv
