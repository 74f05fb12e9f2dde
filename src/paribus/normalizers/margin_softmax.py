"""p_j = exp(a s_j) / sum_k exp(a s_k) for cosines s; in training the target's cosine is lowered by a margin m.

    loss = -log [ exp(a (s_y - m)) / (exp(a (s_y - m)) + sum_{k != y} exp(a s_k)) ]

At the optimum the target leads by m in cosine, so that classes stay apart when unseen ones are compared.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.normalizers.base import Normalizer
from paribus.ops.masking import masked_softmax
from paribus.ops.precision import widened


class MarginSoftmax(Normalizer):
    """Weights need no target and carry no margin; `lowered` gives the scores whose loss does."""

    source: ClassVar[str] = "Wang et al., Additive Margin Softmax for Face Verification, arXiv:1801.05599"
    examples: ClassVar[tuple["MarginSoftmax", ...]] = ()
    scale: float = 30.0  # a > 0, one over the temperature
    margin: float = 0.35  # m, in units of the cosine

    def check(self) -> None:
        require(self.scale > 0, f"scale = {self.scale}: expected a positive number such as 30")
        require(0 <= self.margin < 2, f"margin = {self.margin}: expected 0 <= margin < 2, cosines span 2")

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return masked_softmax(widened(scores) * self.scale, mask).to(scores.dtype)

    def lowered(self, scores: Tensor, target: Tensor) -> Tensor:
        """scores (..., n) less the margin at target (...): what the loss compares."""
        index = target.unsqueeze(-1)
        return scores.scatter_add(-1, index, torch.full_like(index, -self.margin, dtype=scores.dtype))

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum p log p / a."""
        return -torch.special.entr(weights).sum(-1) / self.scale


MarginSoftmax.examples = (MarginSoftmax(), MarginSoftmax(scale=2.0, margin=0.1))
