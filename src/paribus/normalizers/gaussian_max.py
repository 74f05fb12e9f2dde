"""p_i = P(argmax(s + scale * noise) = i) with Gaussian noise: multinomial probit.

    p_i = int phi(t - x_i) prod_{j != i} Phi(t - x_j) dt = int e^{L(t)} h(t - x_i) dt,   x = s / scale,
    L(t) = sum_j log Phi(t - x_j),   h = phi / Phi

One grid of t serves all i, so a row costs O(n) per node, not O(n^2). The integrand is entire and falls like a
Gaussian, so that the error of the trapezoid rule falls faster than any power of its step; but the maximum of n noises
narrows with n, and the step with it. The weights of 1 to 1,000,000 equal scores sum to 1 within 1e-12. Backward, with
u = t - x:

    ds_i = int e^L h_i [ g_i (u_i + h_i) - sum_j g_j h_j ] dt / scale

p is the gradient of E max(s + scale * noise) = scale int t e^L sum_j h_j dt, from which its Fenchel-Young loss is made.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paribus.core.config import require
from paribus.core.errors import ConfigError
from paribus.normalizers.base import Normalizer
from paribus.ops.precision import widened

LOW, HIGH = -8.5, 10.5  # around the largest score: it rarely falls lower, no noise of a million rises higher
FAR = -60.0  # what lies lower wins with probability below 1e-300
AT_ONCE = 1 << 22  # numbers in a block of nodes


def _step(n: int) -> float:
    """Of the grid, for rows of n keys."""
    return 1 / 4 if n <= 10 else 1 / 8 if n <= 300 else 1 / 16


def _nodes(x: Tensor) -> tuple[Tensor, ...]:
    step = _step(x.shape[-1])
    t = torch.arange(LOW, HIGH + step / 2, step, dtype=x.dtype, device=x.device)
    return t.split(max(1, AT_ONCE // max(1, x.numel())))


def _hazard(u: Tensor) -> tuple[Tensor, Tensor]:
    """log Phi(u) and h(u) = phi(u) / Phi(u)."""
    log_cdf = torch.special.log_ndtr(u)
    return log_cdf, torch.exp(-0.5 * u * u - 0.5 * math.log(2 * math.pi) - log_cdf)


class _Probit(torch.autograd.Function):
    """x (rows, n) with maximum 0 -> p (rows, n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        p = torch.zeros_like(x)
        for t in _nodes(x):
            log_cdf, h = _hazard(t - x[..., None])
            p = p + _step(x.shape[-1]) * (h * log_cdf.sum(-2, keepdim=True).exp()).sum(-1)
        ctx.save_for_backward(x)
        return p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        g = grads[0][..., None]
        grad = torch.zeros_like(x)
        for t in _nodes(x):
            u = t - x[..., None]
            log_cdf, h = _hazard(u)
            weight = _step(x.shape[-1]) * log_cdf.sum(-2, keepdim=True).exp()
            grad = grad + (weight * h * (g * (u + h) - (g * h).sum(-2, keepdim=True))).sum(-1)
        return grad


class GaussianMax(Normalizer):
    source: ClassVar[str] = "Thurstone, A law of comparative judgment, 1927; 苏剑林, 通向概率分布之路, 2024-06"
    revision: ClassVar[int] = 2
    examples: ClassVar[tuple["GaussianMax", ...]] = ()
    scale: float = 1.0  # standard deviation of the noise, > 0

    def check(self) -> None:
        require(self.scale > 0, f"scale = {self.scale}: expected a positive number")

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        x = widened(scores) / self.scale
        hidden = x.detach() == -torch.inf if mask is None else ~mask | (x.detach() == -torch.inf)
        x = x - self._top(x, hidden)
        # The winner loses to what is hidden as rarely as to what is far below.
        x = x.masked_fill(hidden | (x < FAR), FAR)
        p = _Probit.apply(x.reshape(-1, x.shape[-1])).view(x.shape)  # type: ignore[no-untyped-call]
        return p.masked_fill(hidden, 0.0).to(scores.dtype)

    def _top(self, x: Tensor, hidden: Tensor) -> Tensor:
        return x.detach().masked_fill(hidden, torch.finfo(x.dtype).min).amax(-1, keepdim=True)

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """E max_i (s_i + scale noise_i), the noise's own mean being 0: its gradient is p. Same grid as the weights."""
        x = widened(scores) / self.scale
        top = self._top(x, x.detach() == -torch.inf)
        x = (x - top).clamp_min(FAR)
        mean = torch.zeros_like(x[..., 0])
        for t in _nodes(x):
            log_cdf, h = _hazard(t - x[..., None])
            mean = mean + _step(x.shape[-1]) * (t * log_cdf.sum(-2).exp() * h.sum(-2)).sum(-1)
        return (top[..., 0] + mean) * self.scale

    def negentropy(self, weights: Tensor) -> Tensor:
        """0 for one-hot weights; of others it is known by its conjugate alone."""
        if bool(((weights > 1e-3) & (weights < 1 - 1e-3)).any()):
            raise ConfigError(
                "GaussianMax has no Omega(p) in closed form but at one-hot weights: give an index as target, or use "
                "SurrogateLoss"
            )
        return torch.zeros_like(weights[..., 0])

    def sample(self, scores: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """One index for each row, (...), drawn with the probabilities that the member gives; errors as of `strict`."""
        self.check_scores(scores, mask)
        x = widened(scores.detach())
        noisy = x + self.scale * torch.empty_like(x).normal_(generator=generator)
        return (noisy if mask is None else noisy.masked_fill(~mask, -torch.inf)).argmax(-1)


GaussianMax.examples = (GaussianMax(), GaussianMax(scale=0.5))
