"""p_i = d/dx_i log sum_{|S| = k} exp(sum_S x): how often i is in a k-subset drawn by its summed score."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.errors import ConfigError
from paribus.normalizers.topk.base import SmoothTopK
from paribus.ops.subsets import log_subset_sum, subset_marginals


class GradTopK(SmoothTopK):
    """Softmax at k = 1; exact at any spread (float64 inside), O(n k) time and memory."""

    source: ClassVar[str] = "苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19"
    real_k: ClassVar[bool] = False
    examples: ClassVar[tuple["GradTopK", ...]] = ()

    def spread(self, x: Tensor, k: Tensor, largest: int) -> Tensor:
        return subset_marginals(x.double(), k.long(), largest).to(x.dtype)

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """temperature / k * log sum_{|S| = k} exp(sum_S s / temperature); its gradient is p / k."""
        x = scores.double().flatten(0, -2) if scores.ndim > 1 else scores.double()[None]
        k = min(self.k, scores.shape[-1])
        log_z = log_subset_sum(x / self.temperature, k)
        return (log_z * (self.temperature / k)).to(scores.dtype).view(scores.shape[:-1])

    def negentropy(self, weights: Tensor) -> Tensor:
        """0 for a whole set, 1 / k at its k entries; of other weights it is known by its conjugate alone."""
        p = weights * min(self.k, weights.shape[-1])
        if bool(((p > 1e-3) & ((p - 1).abs() > 1e-3)).any()):
            raise ConfigError(
                f"GradTopK has no Omega(p) in closed form but at whole sets: give weights of 1 / k = {1 / self.k:g} at "
                f"the k = {self.k} wanted entries and 0 elsewhere, or use LaplaceTopK"
            )
        return torch.zeros_like(p[..., 0])


GradTopK.examples = (GradTopK(), GradTopK(k=2, temperature=0.5))
