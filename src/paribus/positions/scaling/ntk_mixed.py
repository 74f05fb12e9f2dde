"""theta'_i = theta_i exp(-a (i+1)^c), a = ln s / (d/2)^c: digits of a mixed radix.

The slowest pair is divided by exactly s. c = 1 is NTK-fixed, c = 0 position interpolation; between them slow pairs,
which trained distances hardly turn, leave more of the stretch to fast ones.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class NTKMixed(Scaling):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：11、将β进制位置进行到底, 2023-07-31, kexue.fm/archives/9706"
    factor: float  # s = target length / trained length, >= 1
    exponent: float = 0.625  # c in [0, 1]

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")
        require(0 <= self.exponent <= 1, f"exponent = {self.exponent}: expected 0 (interpolation) to 1 (NTK-fixed)")

    def __call__(self, frequencies: Tensor) -> Tensor:
        pairs = frequencies.shape[-1]
        place = torch.arange(1, pairs + 1, dtype=frequencies.dtype, device=frequencies.device) / pairs
        return frequencies * torch.exp(-math.log(self.factor) * place**self.exponent)


NTKMixed.examples = (NTKMixed(factor=1.0), NTKMixed(factor=8.0), NTKMixed(factor=12.0, exponent=0.75))
