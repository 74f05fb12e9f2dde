"""(l_q / n^(1/q)) / (l_p / n^(1/p)): 1 for a constant row, n^(1/p - 1/q) for a one-hot one. Smaller = sparser."""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.losses.sparsity.base import SparsityMeasure, power_sum


class NormRatio(SparsityMeasure):
    source: ClassVar[str] = "苏剑林, archive 9595, 2023; Hurley and Rickard, arXiv:0811.4706"
    sparser: ClassVar[int] = -1
    examples: ClassVar[tuple["NormRatio", ...]] = ()
    q: float = 1.0
    p: float | None = 2.0  # None: infinite, the divisor is the maximum. Outside q <= 1 <= p an even row may look sparse

    def check(self) -> None:
        require(
            self.q > 0 and (self.p is None or self.p > self.q),
            f"q = {self.q}, p = {self.p}: expected 0 < q < p, or None",
        )

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        small = (power_sum(a, self.q) / n) ** (1 / self.q)
        return small / (a.amax(-1) if self.p is None else (power_sum(a, self.p) / n) ** (1 / self.p))


NormRatio.examples = (NormRatio(), NormRatio(q=0.5, p=1.0), NormRatio(p=None))
