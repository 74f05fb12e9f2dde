"""p = argmax over the simplex of p.s + H(p), that is p_j = exp(s_j) / sum_k exp(s_k)."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.normalizers.base import Normalizer


class Softmax(Normalizer):
    source: ClassVar[str] = "Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990"
    examples: ClassVar[tuple["Softmax", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return torch.softmax(scores, dim=-1)
        # A fully masked row is lifted to finite scores before the softmax and zeroed after it, so that neither the
        # value nor the gradient becomes NaN.
        visible = mask.any(dim=-1, keepdim=True)
        lowest = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, lowest), dim=-1) * visible


Softmax.examples = (Softmax(),)
