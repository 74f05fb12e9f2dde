"""sum a^4 / (sum a^2)^2: 1/n for a constant row, 1 for a one-hot one. Larger = sparser, among rows of one length."""

from typing import ClassVar

from torch import Tensor

from paribus.losses.sparsity.base import SparsityMeasure


class Kurtosis(SparsityMeasure):
    """Blind to small entries: it can call a more even row sparser."""

    source: ClassVar[str] = "Hurley and Rickard, Comparing measures of sparsity, arXiv:0811.4706, 2009"
    sparser: ClassVar[int] = 1
    examples: ClassVar[tuple["Kurtosis", ...]] = ()

    def measure(self, a: Tensor, n: Tensor) -> Tensor:
        squares = a * a
        return (squares * squares).sum(-1) / squares.sum(-1) ** 2


Kurtosis.examples = (Kurtosis(),)
