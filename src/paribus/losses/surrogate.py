"""A gradient p(s) - onehot(y) for any normalizer, also one that maximises nothing: <s, sg[p(s) - onehot(y)]>.

Its value means nothing and may be negative: log a metric beside it. (Printed elsewhere as <p - y, sg[s]>, whose
gradient is J^T s, a different thing.)
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.data.batch import IGNORED
from paribus.losses.base import Loss, check_index
from paribus.normalizers.base import Normalizer
from paribus.normalizers.taylor_softmax import TaylorSoftmax


class SurrogateLoss(Loss):
    """target: an index for each row."""

    source: ClassVar[str] = "苏剑林, 通向概率分布之路：盘点Softmax及其替代品, 2024-06"
    examples: ClassVar[tuple["SurrogateLoss", ...]] = ()
    normalizer: Normalizer = TaylorSoftmax()

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        check_index(target, scores.shape[-1], scores.shape[:-1])
        kept = (target != IGNORED)[..., None]
        index = target[..., None].where(kept, 0)
        with torch.no_grad():
            gradient = self.normalizer(scores)
            gradient = gradient.scatter_add(-1, index, -torch.ones_like(index, dtype=gradient.dtype)).where(kept, 0.0)
        # A score of -inf, or of an ignored row, has the gradient 0 and no say.
        return torch.linalg.vecdot(scores.where(gradient != 0, 0.0), gradient)


SurrogateLoss.examples = (SurrogateLoss(),)
