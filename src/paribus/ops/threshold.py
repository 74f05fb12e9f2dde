"""p_i = f(x_i - t) with sum_i f(x_i - t) = k: weights by one threshold t for each row, differentiated exactly.

    dp = [diag(f') - f' f'^T / sum f'] dx

t is found in float64 and subtracted in two parts, so that x - t is right to its own last bits however large x is. The
shares f' / sum f' are a softmax of log f', finite even where every f' underflows.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Solve = Callable[[Tensor, Tensor], Tensor]  # x (rows, n) float64, k (rows, 1) float64, 0 < k < n -> t (rows, 1)
LogSlope = Callable[[Tensor], Tensor]  # u -> log f'(u), up to a constant; -inf where f is flat

FAR = -1e300  # stands for -inf where differences are taken


class _Offset(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: Tensor, solve: Solve, log_slope: LogSlope) -> Tensor:
        t = solve(x.double().clamp_min(FAR), k.double())
        coarse = t.to(x.dtype)
        u = (x - coarse) - (t - coarse.double()).to(x.dtype)
        ctx.log_slope = log_slope
        ctx.save_for_backward(u)
        return u

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors  # the output itself, so that a second derivative passes through it
        share = torch.softmax(ctx.log_slope(u), dim=-1)
        return grads[0] - share * grads[0].sum(-1, keepdim=True), None, None, None


def offsets(x: Tensor, k: Tensor, solve: Solve, log_slope: LogSlope) -> Tensor:
    """u = x - t(x), of which the weights are f(u); entries of -inf weigh nothing and have no part in t."""
    return _Offset.apply(x, k, solve, log_slope)  # type: ignore[no-untyped-call]


def suffix_logsumexp(x: Tensor) -> Tensor:
    """(rows, n) -> (rows, n + 1): entry m is log sum_{j >= m} exp x_j, the last one FAR for an empty sum."""
    tail = torch.full_like(x[..., :1], FAR)
    return torch.cat([x.flip(-1).logcumsumexp(-1).flip(-1), tail], dim=-1)
