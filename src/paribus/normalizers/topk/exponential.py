"""p_i = min(1, exp(x_i - t)), sum p = k: softmax at k = 1; entries that would exceed 1 are cut, the rest share k - m.

With x sorted and m entries at 1: t = log sum_{i > m} exp(x_i) - log(k - m).
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.normalizers.topk.base import SmoothTopK
from paribus.ops.threshold import offsets, suffix_logsumexp


def solve(x: Tensor, k: Tensor) -> Tensor:
    ordered = x.sort(dim=-1, descending=True).values
    rest = suffix_logsumexp(ordered)
    place = torch.arange(1, x.shape[-1] + 1, device=x.device)
    # The sum of weights for a threshold at x_i grows with i; those x_i lie above t for which it is still below k.
    m = (place + torch.exp(rest[..., 1:] - ordered) < k).sum(-1, keepdim=True)
    return rest.gather(-1, m) - torch.log(k - m)


class ExponentialTopK(SmoothTopK):
    """Exact in one sort, O(n log n). Not smooth at p = 1; entries above t get no gradient."""

    source: ClassVar[str] = "苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19"
    examples: ClassVar[tuple["ExponentialTopK", ...]] = ()

    def spread(self, x: Tensor, k: Tensor, largest: int) -> Tensor:
        u = offsets(x, k, solve, lambda u: u.masked_fill(u > 0, -torch.inf))
        return torch.exp(u.clamp_max(0))

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum p log p * temperature / k, p = k weights."""
        return -torch.special.entr(self.k * weights).sum(-1) * (self.temperature / self.k)


ExponentialTopK.examples = (ExponentialTopK(), ExponentialTopK(k=2, temperature=0.5))
