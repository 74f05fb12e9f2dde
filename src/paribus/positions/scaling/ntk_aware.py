"""theta'_i = theta_i s^(-2i/(d-2)): the base becomes base * s^(d/(d-2)).

The fastest pair keeps its frequency and the slowest is divided by exactly s. This is bloc97's form; the forms called
NTK-old and NTK-fixed elsewhere are other numbers.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class NTKAware(Scaling):
    source: ClassVar[str] = "bloc97, NTK-Aware Scaled RoPE, 2023-06; 苏剑林, kexue.fm/archives/9675"
    factor: float  # s = target length / trained length, >= 1

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")

    def __call__(self, frequencies: Tensor) -> Tensor:
        pairs = frequencies.shape[-1]
        require(
            pairs > 1, "NTK-aware scaling needs a head of at least 4 coordinates: with one pair there is no slowest"
        )
        # 2i/(d-2) = i/(pairs - 1)
        exponent = torch.arange(pairs, dtype=frequencies.dtype, device=frequencies.device) / (pairs - 1)
        return frequencies * self.factor**-exponent


NTKAware.examples = (NTKAware(factor=1.0), NTKAware(factor=8.0))
