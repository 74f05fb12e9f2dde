"""Scores c <q, k> / sqrt(d): logits of variance c^2 when q and k have unit-variance coordinates."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.core.config import require


class InverseSqrt(Scale):
    source: ClassVar[str] = "Vaswani et al., Attention Is All You Need, arXiv:1706.03762"
    factor: float = 1.0  # c; the gradient-maximising rule of thumb is 2.5

    def check(self) -> None:
        require(self.factor > 0, f"factor = {self.factor}: expected a positive number")

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return q, k, self.factor * q.shape[-1] ** -0.5


InverseSqrt.examples = (InverseSqrt(), InverseSqrt(factor=2.5))
