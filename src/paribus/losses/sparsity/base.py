"""Contract of the family: x (..., n) -> its sparsity (...), of |x|, free of scale, differentiable away from zeros.

What the measures mean, their axioms and identities: paribus.theory.sparsity. A row without a non-zero entry has no
sparsity and gives NaN. The gradient is orthogonal to x, as a common factor changes nothing.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from paribus.core.config import Part
from paribus.ops.precision import widened


class SparsityMeasure(Part, ABC):
    sparser: ClassVar[int]  # +1: larger values mean sparser; -1: smaller values do

    @abstractmethod
    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        """a (..., size) >= 0 with maximum 1, 0 where masked; n (...) the number of entries that count."""

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask broadcastable to x (True = counts): a causal row of attention has n = i + 1 entries."""
        a = widened(x).abs()
        n = a.new_full(a.shape[:-1], a.shape[-1])
        if mask is not None:
            a = a.masked_fill(~mask, 0.0)
            n = mask.expand(a.shape).sum(-1).to(a.dtype)
        # A constant factor changes neither value nor gradient, so that the maximum needs none of its own.
        return self.measure(a / a.detach().amax(-1, keepdim=True), n)


def power_sum(a: Tensor, power: float) -> Tensor:
    """sum a^power over the last axis, entries of 0 contributing 0 to value and gradient."""
    if power == 1.0:
        return a.sum(-1)
    inside = a != 0  # NaN stays
    return (a.where(inside, 1.0) ** power).where(inside, 0.0).sum(-1)
