"""theta'_i = theta_i / s: positions are squeezed into the trained range, near ones included."""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class PositionInterpolation(Scaling):
    source: ClassVar[str] = "Chen et al., Extending Context Window via Positional Interpolation, arXiv:2306.15595"
    factor: float  # s = target length / trained length, >= 1

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")

    def __call__(self, frequencies: Tensor) -> Tensor:
        return frequencies / self.factor


PositionInterpolation.examples = (PositionInterpolation(factor=1.0), PositionInterpolation(factor=8.0))
