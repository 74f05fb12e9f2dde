"""p = argmax over the simplex of <p, s> + H(p), that is p_j = exp(s_j) / sum_k exp(s_k)."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.normalizers.base import Normalizer
from paribus.ops.masking import masked_softmax


class Softmax(Normalizer):
    source: ClassVar[str] = "Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990"
    examples: ClassVar[tuple["Softmax", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return masked_softmax(scores, mask)

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum p log p."""
        return -torch.special.entr(weights).sum(-1)


Softmax.examples = (Softmax(),)
