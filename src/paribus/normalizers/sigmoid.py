"""p_j = sigmoid(s_j - log n), n the number of keys seen: each key for itself. Weights do not sum to one.

The shift by log n makes the weights sum to about 1 at the start, when scores are near 0, at any length.
"""

from typing import ClassVar

import torch
from torch import Tensor

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


Sigmoid.examples = (Sigmoid(),)
