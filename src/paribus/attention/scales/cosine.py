"""Scores strength * cos(q, k); strength = 4 ln n, n half of the trained length, unless another is given."""

import math
from typing import ClassVar, Self

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.attention.scales.unit import unit
from paribus.core.config import require


class Cosine(Scale):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：15、Key归一化助力长度外推, 2023-11-20, kexue.fm/archives/9859"
    changes_keys: ClassVar[bool] = True
    strength: float  # lambda > 0; without any scale (1) cosine attention barely trains

    def check(self) -> None:
        require(self.strength > 0, f"strength = {self.strength}: expected a positive number, such as 4 ln n")

    @classmethod
    def for_length(cls, train_length: int, coefficient: float = 4.0) -> Self:
        """strength = coefficient * ln(train_length / 2): 22.18 for 512."""
        require(train_length > 2, f"train_length = {train_length}: expected more than 2")
        return cls(strength=coefficient * math.log(train_length / 2))

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return unit(q), unit(k), self.strength


Cosine.examples = (Cosine(strength=20.0), Cosine.for_length(512))
