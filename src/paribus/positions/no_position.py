"""No position code: <q, k>. Under a causal mask the order still shows, since each query averages a different prefix."""

from typing import ClassVar

from torch import Tensor

from paribus.ops.merge import Share
from paribus.ops.tiles import shifted
from paribus.positions.base import Position
from paribus.positions.pairs import Every, Near


class NoPosition(Position):
    source: ClassVar[str] = "苏剑林, Decoder-only的LLM为什么需要位置编码？, 2024-09-01, kexue.fm/archives/10347"
    takes_places: ClassVar[bool] = True  # it reads neither

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    def shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None = None
    ) -> list[Share] | None:
        start, stop = k.shape[2] - q.shape[2], k.shape[2]
        pairs = Every() if window is None else Near(window)
        faster = pairs.windowed(first, start, stop)
        tiles = pairs.tiles(first, start, stop)
        return [Share(shifted(tiles, start), None if faster is None else shifted(faster, start))]

    @property
    def sees_order(self) -> bool:
        return False


NoPosition.examples = (NoPosition(),)
