"""No position code: <q, k>. Under a causal mask the order still shows, since each query averages a different prefix."""

from typing import ClassVar

from torch import Tensor

from paribus.positions.base import Position


class NoPosition(Position):
    source: ClassVar[str] = "苏剑林, Decoder-only的LLM为什么需要位置编码？, 2024-09-01, kexue.fm/archives/10347"

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    @property
    def sees_order(self) -> bool:
        return False


NoPosition.examples = (NoPosition(),)
