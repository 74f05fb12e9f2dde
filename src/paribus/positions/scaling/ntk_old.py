"""theta'_i = theta_i s^(-2i/d): the base becomes base * s.

The slowest pair is divided by s^((d-2)/d), a little less than s: not bloc97's form, nor NTK-fixed.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class NTKOld(Scaling):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：10、RoPE是一种β进制编码, 2023-07-06, kexue.fm/archives/9675"
    factor: float  # s = target length / trained length, >= 1

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")

    def __call__(self, frequencies: Tensor) -> Tensor:
        pairs = frequencies.shape[-1]
        exponent = torch.arange(pairs, dtype=frequencies.dtype, device=frequencies.device) / pairs
        return frequencies * self.factor**-exponent


NTKOld.examples = (NTKOld(factor=1.0), NTKOld(factor=8.0))
