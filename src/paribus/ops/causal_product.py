"""Products of queries with a running sum of key-value products, in chunks: the heart of linear attention.

    o_m = q_m S_m,  S_m = S_0 + sum_{n<=m} k_n v_n^T;   normalised: o_m / (q_m z_m + eps),  z_m = z_0 + sum_{n<=m} k_n

Within a chunk of c tokens the pairs are multiplied out, across chunks only S travels: O(n c) instead of O(n^2), one
chunk at a time in the cache of the processor. The backward pass is exact and runs once, from the last chunk to the
first. The slow twin is `dense`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paribus.ops.precision import widened

CHUNK = 64


def causal_product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: tuple[Tensor, Tensor] | None = None,
    *,
    eps: float | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """q, k (batch, heads, n, features), v (batch, heads, n, d) -> o like v, and the state after the last token.

    state: S (batch, heads, features, d) and z (batch, heads, features, 1), zeros when None. eps: a number normalises,
    None does not. Sums of 16-bit numbers are kept in float32. First derivatives only, and none through the state that
    is returned.
    """
    shape, dtype = v.shape, v.dtype
    q, k, v = (widened(x).flatten(0, 1) for x in (q, k, v))
    rows, _, features = q.shape
    if state is None:
        state = (v.new_zeros(rows, features, shape[-1]), v.new_zeros(rows, features, 1))
    else:
        state = (state[0].flatten(0, 1), state[1].flatten(0, 1))
    with torch.autocast(v.device.type, enabled=False):
        o, *after = _CausalProduct.apply(q, k, v, *state, eps, chunk)  # type: ignore[no-untyped-call]
    total, keys = (x.unflatten(0, shape[:2]) for x in after)
    return o.view(shape).to(dtype), (total, keys)


def dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, eps: float | None = None) -> Tensor:
    """The same as it is written, with all pairs and any mask (broadcastable to n x n, True = may see)."""
    weights = q @ k.transpose(-1, -2)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    o = weights @ v
    return o if eps is None else o / (weights.sum(-1, keepdim=True) + eps)


def _add(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """x += a b in place, in the form that torch's FLOP counter sees."""
    return torch.baddbmm(x, a, b, out=x)


class _CausalProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, total: Tensor, keys: Tensor, eps: float | None, chunk: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        n = q.shape[1]
        total, keys = total.clone(), keys.clone()
        o = torch.empty_like(v, memory_format=torch.contiguous_format)
        size = None if eps is None else v.new_empty(*v.shape[:2], 1)
        keep = any(ctx.needs_input_grad)
        kept_totals, kept_keys = [], []
        for start in range(0, n, chunk):
            part = slice(start, min(start + chunk, n))
            q_, k_, v_ = q[:, part], k[:, part], v[:, part]
            if keep:
                kept_totals.append(total.clone())
                kept_keys.append(keys.clone())
            pairs = torch.bmm(q_, k_.transpose(1, 2)).tril_()
            o_ = _add(torch.bmm(q_, total), pairs, v_)
            if size is not None and eps is not None:
                size_ = torch.add(torch.bmm(q_, keys), pairs.sum(-1, keepdim=True)).add_(eps)
                size[:, part] = size_
                o_ /= size_
                keys += k_.sum(1).unsqueeze(-1)
            o[:, part] = o_
            _add(total, k_.transpose(1, 2), v_)
        ctx.save_for_backward(q, k, v, o, size, *kept_totals, *kept_keys)
        ctx.chunk = chunk
        ctx.mark_non_differentiable(total, keys)
        return o, total, keys

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, o, size, *kept = ctx.saved_tensors
        n, chunk = q.shape[1], ctx.chunk
        n_chunks = len(kept) // 2
        do = gradients[0]
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        later = q.new_zeros(q.shape[0], q.shape[2], v.shape[2])
        later_q = q.new_zeros(q.shape[0], q.shape[2], 1)
        for index in reversed(range(n_chunks)):
            part = slice(index * chunk, min((index + 1) * chunk, n))
            q_, k_, v_, do_ = q[:, part], k[:, part], v[:, part], do[:, part]
            total, keys = kept[index], kept[n_chunks + index]
            g = None
            if size is not None:
                do_ = do_ / size[:, part]
                g = torch.linalg.vecdot(do_, o[:, part]).unsqueeze(-1).neg_()
            pairs = torch.bmm(q_, k_.transpose(1, 2)).tril_()
            back = torch.bmm(do_, v_.transpose(1, 2))
            if g is not None:
                back += g
            back.tril_()
            dq_ = _add(torch.bmm(do_, total.transpose(1, 2)), back, k_)
            dk_ = _add(torch.bmm(v_, later.transpose(1, 2)), back.transpose(1, 2), q_)
            if g is not None:
                dq_.addcmul_(g, keys.transpose(1, 2))
                dk_ += later_q.transpose(1, 2)
                _add(later_q, q_.transpose(1, 2), g)
            dq[:, part], dk[:, part] = dq_, dk_
            dv[:, part] = _add(torch.bmm(k_, later), pairs.transpose(1, 2), do_)
            _add(later, q_.transpose(1, 2), do_)
        return dq, dk, dv, later, later_q, None, None
