"""p_j = ((alpha - 1) s_j - tau)_+^(1/(alpha-1)) with tau such that they sum to one."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.normalizers.base import Normalizer
from paribus.ops.entmax import entmax


class AlphaEntmax(Normalizer):
    """Softmax as alpha -> 1, sparsemax at 2. Weight 1 on one key as soon as its score leads by 1 / (alpha - 1)."""

    source: ClassVar[str] = "Peters, Niculae and Martins, Sparse Sequence-to-Sequence Models, arXiv:1905.05702"
    examples: ClassVar[tuple["AlphaEntmax", ...]] = ()
    revision: ClassVar[int] = 2
    alpha: float = 1.5  # in (1, 2]

    def check(self) -> None:
        require(
            1 < self.alpha <= 2,
            f"alpha = {self.alpha}: expected 1 < alpha <= 2; use Softmax for alpha = 1 (below it nothing is sparse)",
        )

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return entmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), self.alpha - 1)

    def negentropy(self, weights: Tensor) -> Tensor:
        """(sum p^alpha - 1) / (alpha (alpha - 1)), as sum p (p^(alpha - 1) - 1): no digits are lost near alpha = 1."""
        log_p = weights.where(weights > 0, 1.0).log()
        beta = self.alpha - 1
        return (weights * torch.expm1(beta * log_p)).sum(-1) / (self.alpha * beta)


AlphaEntmax.examples = (AlphaEntmax(alpha=1.25), AlphaEntmax(), AlphaEntmax(alpha=2.0))
