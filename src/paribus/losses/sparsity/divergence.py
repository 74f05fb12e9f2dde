"""ln n - H_r(a / l_1), H_r the Renyi entropy of that order in nats: 0 for a constant row, ln n for a one-hot one."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.losses.sparsity.base import SparsityMeasure, power_sum


class Divergence(SparsityMeasure):
    """Larger = sparser. Order 1 is Shannon; order 2 is minus twice the log of the l_1/l_2 ratio."""

    source: ClassVar[str] = "Renyi, On measures of entropy and information, 1961; 苏剑林, archive 9595, 2023"
    sparser: ClassVar[int] = 1
    examples: ClassVar[tuple["Divergence", ...]] = ()
    revision: ClassVar[int] = 2
    order: float = 1.0  # > 0

    def check(self) -> None:
        require(self.order > 0, f"order = {self.order}: expected a positive number")

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        p = a / a.sum(-1, keepdim=True)
        if self.order == 1.0:
            # As 0 log 1 where p = 0: the term there is 0 and so, to stay finite, is its slope.
            return n.log() + (p * p.where(p != 0, 1.0).log()).sum(-1)
        if abs(self.order - 1) < 0.1:
            # sum p^r - 1 is small: keep it as a difference.
            log_p = p.where(p != 0, 1.0).log()
            return n.log() - torch.log1p((p * torch.expm1((self.order - 1) * log_p)).sum(-1)) / (1 - self.order)
        return n.log() - power_sum(p, self.order).log() / (1 - self.order)


Divergence.examples = (Divergence(), Divergence(order=2.0), Divergence(order=0.5))
