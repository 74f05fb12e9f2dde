"""theta' = theta where the wavelength is below L0 / high, theta / s where it is above L0 / low, a mixture in between.

With t = 2 pi / theta the mixture is z theta + (1 - z) theta / s, z = (L0 / t - low) / (high - low).
"""

import math
from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class Llama3(Scaling):
    source: ClassVar[str] = "Llama Team, The Llama 3 Herd of Models, arXiv:2407.21783; the released code of Llama 3.1"
    factor: float = 8.0
    train_length: int = 8192  # L0, before any extension
    low: float = 1.0
    high: float = 4.0

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")
        require(self.train_length >= 1, f"train_length = {self.train_length}: expected the trained length in tokens")
        require(0 < self.low < self.high, f"low = {self.low}, high = {self.high}: expected 0 < low < high")

    def __call__(self, frequencies: Tensor) -> Tensor:
        turns = self.train_length * frequencies / (2 * math.pi)
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / self.factor)


Llama3.examples = (Llama3(), Llama3(factor=2.0, train_length=100))
