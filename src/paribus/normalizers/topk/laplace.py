"""p_i = f(x_i - t), sum p = k, f(u) = e^u / 2 below 0 and 1 - e^-u / 2 above: smooth and in closed form.

With m entries above t, A = sum_{i <= m} e^{-x_i}, B = sum_{i > m} e^{x_i} and a = k - m, e^t is the positive root of
A y^2 + 2 a y - B = 0. m = n, all entries above t, is a case of its own (t = log 2(n - k) - log A) that the published
closed form leaves out, so that it finds no t for flat scores and k > n / 2. At k = 1 this is softmax only while no
softmax weight exceeds 1/2.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.normalizers.topk.base import SmoothTopK
from paribus.ops.threshold import FAR, offsets, suffix_logsumexp


def solve(x: Tensor, k: Tensor) -> Tensor:
    ordered = x.sort(dim=-1, descending=True).values
    log_b = suffix_logsumexp(ordered)  # entry m sums over i > m
    log_a = torch.cat([torch.full_like(k, FAR), (-ordered).logcumsumexp(-1)], dim=-1)  # entry m sums over i <= m
    place = torch.arange(1, x.shape[-1] + 1, device=x.device)
    # The sum of weights for a threshold at x_i grows with i; those x_i lie above t for which it is still below k.
    at_entry = place - 0.5 * torch.exp(ordered + log_a[..., 1:]) + 0.5 * torch.exp(log_b[..., 1:] - ordered)
    m = (at_entry < k).sum(-1, keepdim=True)
    log_a, log_b, a = log_a.gather(-1, m), log_b.gather(-1, m), k - m
    log_abs = a.abs().log()
    # log(|a| + sqrt(a^2 + A B)): the root is B over it, or it over A, whichever does not cancel.
    large = torch.logaddexp(0.5 * torch.logaddexp(2 * log_abs, log_a + log_b), log_abs)
    return (log_b - large).where(a >= 0, large - log_a)


class LaplaceTopK(SmoothTopK):
    """Exact in one sort, O(n log n); continuous gradient, strictly ordered."""

    source: ClassVar[str] = (
        "苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19; Struski et al., LapSum, arXiv:2503.06242"
    )
    examples: ClassVar[tuple["LaplaceTopK", ...]] = ()

    def spread(self, x: Tensor, k: Tensor, largest: int) -> Tensor:
        u = offsets(x, k, solve, lambda u: -u.abs())
        half = 0.5 * torch.exp(-u.abs())
        return half.where(u < 0, 1 - half)

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum [q log 2q - q] / k, q = min(p, 1 - p), p = k weights."""
        p = (self.k * weights).clamp_max(1)
        q = torch.minimum(p, 1 - p)
        return (torch.special.xlogy(q, 2 * q.where(q > 0, 1.0)) - q).sum(-1) * (self.temperature / self.k)


LaplaceTopK.examples = (LaplaceTopK(), LaplaceTopK(k=2, temperature=0.5))
