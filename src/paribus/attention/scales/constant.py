"""Scores c <q, k> with a fixed c."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.core.config import require


class Constant(Scale):
    source: ClassVar[str] = "苏剑林, 从梯度最大化看Attention的Scale操作, 2023-10-22, kexue.fm/archives/9812"
    value: float

    def check(self) -> None:
        require(self.value > 0, f"value = {self.value}: expected a positive number such as 0.125")

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return q, k, self.value


Constant.examples = (Constant(value=0.3),)
