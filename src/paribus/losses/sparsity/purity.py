"""l_2 / l_1: 1/sqrt(n) for a constant row, 1 for a one-hot one. Larger = sparser, among rows of one length."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.losses.sparsity.base import SparsityMeasure


class Purity(SparsityMeasure):
    source: ClassVar[str] = "Hurley and Rickard, Comparing measures of sparsity, arXiv:0811.4706, 2009"
    sparser: ClassVar[int] = 1
    examples: ClassVar[tuple["Purity", ...]] = ()

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        return torch.linalg.vector_norm(a, dim=-1) / a.sum(-1)


Purity.examples = (Purity(),)
