"""(sqrt(n) - l_1/l_2) / (sqrt(n) - 1): 0 for a constant row, 1 for a one-hot one. Larger = sparser."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.losses.sparsity.base import SparsityMeasure


class Hoyer(SparsityMeasure):
    """Its gradient does not exist at a one-hot row."""

    source: ClassVar[str] = "Hoyer, Non-negative matrix factorization with sparseness constraints, JMLR 5, 2004"
    sparser: ClassVar[int] = 1
    examples: ClassVar[tuple["Hoyer", ...]] = ()

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        root = n.sqrt()
        ratio = a.sum(-1) / torch.linalg.vector_norm(a, dim=-1)
        return (root - ratio) / (root - 1).where(n > 1, 1.0)


Hoyer.examples = (Hoyer(),)
