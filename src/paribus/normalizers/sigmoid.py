"""p_j = sigmoid(s_j - log n), n the number of keys seen: each key for itself. Weights do not sum to one.

The shift by log n makes the weights sum to about 1 at the start, when scores are near 0, at any length.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.normalizers.base import Normalizer
from paribus.ops.masking import n_visible
from paribus.ops.precision import widened


class Sigmoid(Normalizer):
    source: ClassVar[str] = "Ramapuram et al., Theory, Analysis, and Best Practices for Sigmoid Attention, 2409.04431"
    simplex: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = False
    examples: ClassVar[tuple["Sigmoid", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        x = widened(scores)
        weights = torch.sigmoid(x - n_visible(scores, mask).to(x.dtype).log())
        return (weights if mask is None else weights.masked_fill(~mask, 0.0)).to(scores.dtype)

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum_j [p log p + (1 - p) log(1 - p)] + (sum p - 1) log n: n coins, one of which is expected."""
        coins = torch.special.entr(weights) + torch.special.entr(1 - weights)  # minus infinity where p > 1
        return (weights.sum(-1) - 1) * math.log(weights.shape[-1]) - coins.sum(-1)

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """sum_j log(1 + exp(s_j) / n) + log n; less s_y it is binary cross entropy."""
        log_n = n_visible(scores, None).to(scores.dtype).log()
        return F.softplus(scores - log_n).sum(-1) + log_n[..., 0]


Sigmoid.examples = (Sigmoid(),)
