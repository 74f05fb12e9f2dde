"""p = argmin over the simplex of |p - s|^2, that is p_j = (s_j - tau)_+ with tau such that they sum to one."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.normalizers.base import Normalizer
from paribus.ops.entmax import entmax


class Sparsemax(Normalizer):
    """Weight 1 on one key as soon as its score leads by 1. O(n) a row, without a sort."""

    source: ClassVar[str] = "Martins and Astudillo, From Softmax to Sparsemax, arXiv:1602.02068"
    examples: ClassVar[tuple["Sparsemax", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return entmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), 1.0)

    def negentropy(self, weights: Tensor) -> Tensor:
        """(|p|^2 - 1) / 2."""
        return 0.5 * ((weights * weights).sum(-1) - 1)


Sparsemax.examples = (Sparsemax(),)
