"""1 - 2 sum_i a_(i) (n - i + 1/2) / (n l_1), a ascending: 0 for a constant row, 1 - 1/n for a one-hot one."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.losses.sparsity.base import SparsityMeasure


class Gini(SparsityMeasure):
    """Larger = sparser. One sort; linear in a between ties."""

    source: ClassVar[str] = "Hurley and Rickard, Comparing measures of sparsity, arXiv:0811.4706, 2009"
    sparser: ClassVar[int] = 1
    examples: ClassVar[tuple["Gini", ...]] = ()

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        ascending = a.sort(dim=-1).values
        # Counted from the largest entry, so that masked zeros, which come first, shift nothing.
        from_top = torch.arange(a.shape[-1], 0, -1, device=a.device, dtype=a.dtype) - 0.5
        return 1 - 2 * (ascending * from_top).sum(-1) / (n * a.sum(-1))


Gini.examples = (Gini(),)
