"""theta'_i = theta_i s^(-2(i+1)/d): NTK-old with every period stretched once more by s^(2/d).

The slowest pair is divided by exactly s and the fastest by s^(2/d).
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class NTKFixed(Scaling):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：11、将β进制位置进行到底, 2023-07-31, kexue.fm/archives/9706"
    factor: float  # s = target length / trained length, >= 1

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")

    def __call__(self, frequencies: Tensor) -> Tensor:
        pairs = frequencies.shape[-1]
        exponent = torch.arange(1, pairs + 1, dtype=frequencies.dtype, device=frequencies.device) / pairs
        return frequencies * self.factor**-exponent


NTKFixed.examples = (NTKFixed(factor=1.0), NTKFixed(factor=8.0))
