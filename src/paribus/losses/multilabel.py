"""Several classes may be right: all right ones above 0, all wrong ones below.

    L = log(1 + sum_{neg} e^{s}) + log(1 + sum_{pos} e^{-s})

Each term is softplus(logsumexp(.)): a logsumexp with a zero appended loses the term itself once it is small beside 1.
Where L < log 2, every positive score is above 0 and every negative one below.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.losses.base import Loss
from paribus.ops.logsumexp import log_one_plus_sum
from paribus.ops.precision import widened


class MultilabelCrossEntropy(Loss):
    """target (..., n): boolean, or numbers of which those above 1/2 mean right."""

    source: ClassVar[str] = "苏剑林, 将“softmax+交叉熵”推广到多标签分类问题, 2020-04-25; arXiv:2208.02955"
    examples: ClassVar[tuple["MultilabelCrossEntropy", ...]] = ()

    def __call__(self, scores: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask (broadcastable to scores): classes that are neither right nor wrong where False."""
        if target.shape != scores.shape:
            raise InputError(f"target {tuple(target.shape)}, scores {tuple(scores.shape)}: expected equal shapes")
        wide = widened(scores)
        right = target if target.dtype == torch.bool else target > 0.5
        seen = torch.ones_like(right) if mask is None else mask
        return log_one_plus_sum(wide, ~right & seen) + log_one_plus_sum(-wide, right & seen)


MultilabelCrossEntropy.examples = (MultilabelCrossEntropy(),)
