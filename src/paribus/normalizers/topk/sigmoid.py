"""p_i = sigmoid(x_i - t), sum p = k: the distribution of k fermions; also what entropic transport converges to."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.normalizers.topk.base import SmoothTopK
from paribus.ops.bisect import bisect, bracketed_newton
from paribus.ops.threshold import FAR, offsets


def solve(x: Tensor, k: Tensor) -> Tensor:
    """t lies in [min x - logit(k/n), max x - logit(k/n)] over the entries seen; no closed form."""
    seen = x > FAR
    shift = torch.logit(k / seen.sum(-1, keepdim=True))
    low = x.masked_fill(~seen, torch.inf).amin(-1, keepdim=True) - shift
    high = x.amax(-1, keepdim=True) - shift

    def excess_and_slope(t: Tensor) -> tuple[Tensor, Tensor]:
        # Counted from the nearer end, 0 or 1: across a wide gap both ends differ from k by less than its last bit.
        u = x - t
        small = torch.sigmoid(-u.abs())
        above = u > 0
        near = small.where(~above, -small)
        excess = (above.sum(-1, keepdim=True) - k) + near.sum(-1, keepdim=True)
        return excess, -(small * (1 - small)).sum(-1, keepdim=True)

    if torch.compiler.is_compiling():
        t, _ = bisect(lambda t: excess_and_slope(t)[0], low, high, 28)
        for _ in range(3):
            excess, slope = excess_and_slope(t)
            t = t - excess / slope.where(slope < 0, -1.0)
        return t
    return bracketed_newton(excess_and_slope, low, high)


class SigmoidTopK(SmoothTopK):
    """Smooth everywhere, strictly ordered; O(n) for each Newton step."""

    source: ClassVar[str] = "苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19"
    examples: ClassVar[tuple["SigmoidTopK", ...]] = ()

    def spread(self, x: Tensor, k: Tensor, largest: int) -> Tensor:
        return torch.sigmoid(offsets(x, k, solve, lambda u: F.logsigmoid(u) + F.logsigmoid(-u)))

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum [p log p + (1 - p) log(1 - p)] * temperature / k, p = k weights."""
        p = (self.k * weights).clamp_max(1)
        return -(torch.special.entr(p) + torch.special.entr(1 - p)).sum(-1) * (self.temperature / self.k)


SigmoidTopK.examples = (SigmoidTopK(), SigmoidTopK(k=2, temperature=0.5))
