"""The same loss with the right classes given as a list of indices.

    L = log(1 + sum_{neg} e^{s}) + log(1 + sum_{pos} e^{-s})

The positives are struck out of the negative sum. (Computing it as all minus positives, as published, cancels: with
1000 classes, 3 positives at +20 and the rest at -20 it gives 4.98 or minus infinity where 2.1e-6 is right.)
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.base import Loss
from paribus.ops.logsumexp import log_one_plus_sum
from paribus.ops.precision import widened


class SparseMultilabelCrossEntropy(Loss):
    """target (..., most): indices of the right classes, IGNORED where a row has fewer; naming one twice is harmless."""

    source: ClassVar[str] = "苏剑林, 将“softmax+交叉熵”推广到多标签分类问题, 2020-04-25; bert4keras issue 436"
    examples: ClassVar[tuple["SparseMultilabelCrossEntropy", ...]] = ()

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        n = scores.shape[-1]
        if target.is_floating_point() or target.shape[:-1] != scores.shape[:-1]:
            raise InputError(
                f"target {tuple(target.shape)} of {target.dtype}: expected integer indices (..., most) beside scores "
                f"{tuple(scores.shape)}"
            )
        given = target != IGNORED
        if bool((given & ((target < 0) | (target >= n))).any()):
            raise InputError(
                f"target from {target.min().item()} to {target.max().item()}: expected indices below {n}, or {IGNORED} "
                "where a row has fewer"
            )
        # Padding is written into a column beyond the last class, which is cut off again.
        right = torch.zeros(*scores.shape[:-1], n + 1, dtype=torch.bool, device=scores.device)
        right = right.scatter(-1, target.where(given, n), True)[..., :-1]
        wide = widened(scores)
        return log_one_plus_sum(wide, ~right) + log_one_plus_sum(-wide, right)


SparseMultilabelCrossEntropy.examples = (SparseMultilabelCrossEntropy(),)
