"""alpha-entmax, 1 < alpha <= 2, by Newton's method on the few entries that can carry weight. No sort.

    p = argmax over the simplex of <p, x> + (1 - sum_j p_j^alpha) / (alpha (alpha - 1))
    p_j = (1 - b y_j)_+^(1/b),   y_j = max x - x_j + c,   b = alpha - 1,   c such that sum_j p_j = 1

With b -> 0 this is exp(-y_j) and c = log sum exp(x - max x): written in c rather than in the usual threshold
tau = b c - 1 nothing cancels near softmax. F(c)^b, F(c) = sum_j p_j, is the 1/b-norm of a vector that is affine in c,
so it is convex, decreasing and nearly straight: Newton from any lower bound climbs to c without overshooting, in a
handful of steps. Backward, with s_j = p_j^(2 - alpha) on the support:

    dx_j = s_j (g_j - <g, s> / <1, s>)
    dalpha = sum_j g_j [ (p_j - t_j) / b^2 + (h_j - t_j sum h) / b ],   t = s / <1, s>,   h = -p log p

Source: Peters, Niculae and Martins, arXiv:1905.05702; Correia, Niculae and Martins, arXiv:1909.00015 (gradient in
alpha). The slow twins are in entmax_reference.py.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paribus.ops.bisect import bisect
from paribus.ops.candidates import block_maxima, block_width, gather
from paribus.ops.precision import widened

Beta = float | Tensor  # alpha - 1 in (0, 1]: one number, or one for each row (rows, 1)


def curve(depth: Tensor, c: Tensor, beta: Beta) -> tuple[Tensor, Tensor]:
    """(p, s) for depths max x - x: p = (1 - b (depth + c))_+^(1/b) and s = p^(1 - b) where p > 0, else 0."""
    if isinstance(beta, float) and beta == 1.0:
        p = (1 - (depth + c)).clamp_min(0)
        return p, (p > 0).to(p.dtype)
    if isinstance(beta, float) and beta == 0.5:
        s = (1 - 0.5 * (depth + c)).clamp_min(0)
        return s * s, s
    log_u = torch.log1p((-beta * (depth + c)).clamp_min(-1))
    s = torch.exp(log_u * ((1 - beta) / beta)).where(log_u > -torch.inf, 0.0)
    return torch.exp(log_u / beta), s


def newton_step(p: Tensor, s: Tensor, beta: Beta) -> Tensor:
    """How far c moves: (F - F^(1-b)) / (b sum s), written so that b -> 0 loses nothing. 0 for rows without weight."""
    total, slope = p.sum(-1, keepdim=True), s.sum(-1, keepdim=True)
    alive = total > 0
    safe = total.where(alive, 1.0)
    return safe * -torch.expm1(-beta * safe.log()) / (beta * slope.where(alive, 1.0))


def climb(depth: Tensor, c: Tensor, beta: Beta, most: int = 1000) -> Tensor:
    """c from below, until no row moves by more than its rounding."""
    slack = 4 * torch.finfo(depth.dtype).eps
    for _ in range(most):
        step = newton_step(*curve(depth, c, beta), beta)
        c = c + step.clamp_min(0)
        if bool((step <= slack * (1 + c)).all()):
            break
    return c


def dense_weights(x: Tensor, beta: Beta) -> Tensor:
    """The same weights from whole rows, in a fixed number of steps: what torch.compile can trace."""
    n = x.shape[-1]
    top = x.amax(-1, keepdim=True)
    top = top.where(top > -torch.inf, 0.0)
    depth = top - x
    low = torch.zeros_like(top)
    high = low + (1 - n**-beta) / beta
    c, _ = bisect(lambda at: curve(depth, at, beta)[0].sum(-1, keepdim=True) - 1, low, high, 18)
    for _ in range(5):
        c = c + newton_step(*curve(depth, c, beta), beta)
    p, _ = curve(depth, c, beta)
    total = p.sum(-1, keepdim=True)
    return p / total.where(total != 0, 1.0)


def sparse_weights(x: Tensor, beta: Beta) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (rows, n) -> columns, p, s, each (rows, most), and the row maxima (rows, 1)."""
    blocks, maxima = block_maxima(x, block_width(x.shape[1]))
    top = maxima.amax(-1, keepdim=True)
    finite = top.where(top.isfinite(), 0.0)
    low = torch.zeros_like(finite)
    if blocks.shape[2] > 1:
        low = climb(finite - maxima, low, beta, most=8)
        low = low - 1e-5 * (1 + low)  # rounding must not lift the bound above the solution
    # One step down: where scores are so large that the reach of 1 / b is lost in rounding, the maximum itself stays.
    floor = torch.nextafter(finite - 1 / beta + low, torch.full_like(low, -torch.inf))
    columns, depths = gather(blocks, maxima, finite, floor)
    p, s = curve(depths, climb(depths, low.clamp_min(0), beta), beta)
    total = p.sum(-1, keepdim=True)
    return columns, p / total.where(total > 0, 1.0), s, top


def _support(p: Tensor, beta: Beta) -> Tensor:
    """s from p, with finite derivatives at p = 0."""
    inside = p > 0
    return (p.where(inside, 1.0) ** (1 - beta)).where(inside, 0.0)


def _grad_x(g: Tensor, s: Tensor) -> Tensor:
    total = s.sum(-1, keepdim=True)
    return s * (g - (g * s).sum(-1, keepdim=True) / total.where(total != 0, 1.0))


def _grad_beta(g: Tensor, p: Tensor, s: Tensor, beta: Beta) -> Tensor:
    """Per row (rows, 1). The two differences cancel to first order in beta, hence float64."""
    g, p, s = g.double(), p.double(), s.double()
    b = beta.double() if isinstance(beta, Tensor) else beta
    total = s.sum(-1, keepdim=True)
    share = s / total.where(total != 0, 1.0)
    h = -torch.special.xlogy(p, p.where(p > 0, 1.0))
    alive = (total != 0).to(p.dtype)
    each = (p - share * alive) / b**2 + (h - share * h.sum(-1, keepdim=True)) / b
    return (g * each).sum(-1, keepdim=True)


class _Sparse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Beta) -> Tensor:
        wide = widened(x)
        columns, p, s, top = sparse_weights(wide, beta)
        out = torch.zeros_like(wide).scatter_add_(1, columns, p)
        if not bool((top < torch.inf).all()):
            out = out.masked_fill(~(top < torch.inf), torch.nan)  # NaN or +inf came in: NaN goes out
        out = out.to(x.dtype)
        ctx.beta = None if isinstance(beta, Tensor) else beta
        ctx.save_for_backward(out, columns, p, s, *([beta] if isinstance(beta, Tensor) else []))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        out, columns, p, s, *rest = ctx.saved_tensors
        beta: Beta = rest[0] if rest else ctx.beta
        g = grads[0]
        if torch.is_grad_enabled():  # a second derivative is wanted: everything as a function of out and beta
            p, s, wanted = widened(out), _support(widened(out), beta), widened(g)
            grad = _grad_x(wanted, s)
        else:
            wanted = widened(g.gather(1, columns))
            grad = torch.zeros_like(out, dtype=p.dtype).scatter_add_(1, columns, _grad_x(wanted, s))
        grad_beta = _grad_beta(wanted, p, s, beta).to(beta.dtype) if isinstance(beta, Tensor) else None
        return grad.to(out.dtype), grad_beta


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Beta) -> Tensor:
        p = dense_weights(widened(x), beta)
        ctx.beta = None if isinstance(beta, Tensor) else beta
        ctx.save_for_backward(p, *([beta] if isinstance(beta, Tensor) else []))
        return p.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        p, *rest = ctx.saved_tensors
        beta: Beta = rest[0] if rest else ctx.beta
        g, s = grads[0].to(p.dtype), _support(p, beta)
        grad_beta = _grad_beta(g, p, s, beta).to(beta.dtype) if isinstance(beta, Tensor) else None
        return _grad_x(g, s).to(grads[0].dtype), grad_beta


def entmax(x: Tensor, beta: Beta) -> Tensor:
    """alpha-entmax over the last axis, beta = alpha - 1 in (0, 1]; -inf entries get exactly 0, so do rows of them.

    x (..., n); beta a float, or a tensor that broadcasts to (..., 1) and receives its gradient. Half precision is
    computed in float32. Rows that hold NaN or +inf become NaN. Under torch.compile whole rows are bisected instead.
    """
    if x.numel() == 0:
        return x
    if isinstance(beta, Tensor):
        beta = beta.to(widened(x).dtype).expand(*x.shape[:-1], 1).reshape(-1, 1)
    flat = x.reshape(-1, x.shape[-1])
    method = _Dense if torch.compiler.is_compiling() else _Sparse
    return method.apply(flat, beta).view(x.shape)  # type: ignore[no-untyped-call]
