"""p_j = f(s_j) / sum_k f(s_k), f(x) = sum_{i <= order} x^i / i!, which is positive everywhere for an even order only.

Tails are heavier than softmax's, scores are not compared by difference, and below the minimum of f (at -1 for order 2)
a lower score weighs more. Its Jacobian is not symmetric, so no function of the scores has it for a gradient and it has
no Fenchel-Young loss: -log p_y is finite, and SurrogateLoss has the gradient p - y.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.normalizers.base import Normalizer
from paribus.ops.precision import widened


class TaylorSoftmax(Normalizer):
    source: ClassVar[str] = (
        "Vincent, de Brebisson and Bouthillier, Efficient Exact Gradient Update for training Deep Networks with Very "
        "Large Sparse Targets, arXiv:1412.7091; Banerjee et al., arXiv:2011.11538"
    )
    shift_invariant: ClassVar[bool] = False
    monotone: ClassVar[bool] = False
    examples: ClassVar[tuple["TaylorSoftmax", ...]] = ()
    order: int = 2  # even, 2 to 20: beyond it the terms cancel in float32

    def check(self) -> None:
        require(
            2 <= self.order <= 20 and self.order % 2 == 0,
            f"order = {self.order}: expected an even number from 2 to 20; an odd order gives negative weights",
        )

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        x = widened(scores)
        hidden = x.detach() == -torch.inf if mask is None else ~mask | (x.detach() == -torch.inf)
        x = x.masked_fill(hidden, 0.0)
        # f(x) / M^order by Horner in x / M: no power overflows, and the common factor cancels.
        largest = x.detach().abs().amax(-1, keepdim=True).clamp_min(1.0)
        t = x / largest
        f = t.new_full((), 1 / math.factorial(self.order))
        for i in range(self.order - 1, -1, -1):
            f = f * t + largest ** (i - self.order) / math.factorial(i)
        f = f.masked_fill(hidden, 0.0)
        total = f.sum(-1, keepdim=True)
        return (f / total.where(total != 0, 1.0)).to(scores.dtype)


TaylorSoftmax.examples = (TaylorSoftmax(), TaylorSoftmax(order=4))
