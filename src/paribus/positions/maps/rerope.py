"""f = clip(m - n, -w, w): no distance ever exceeds the window w.

Far pairs (m - n >= w) are scored as if exactly w apart: the query is rotated by w and the key not at all. A window
between a quarter and a half of the trained length works best. The source reports that one as long as the trained length
collapses; the claim `rerope` found it 3.2 points below a half of it, 10 above plain RoPE, and leaves that undecided.
"""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import At, MapPiece, PositionMap
from paribus.positions.pairs import Ahead, Far, Near


class ReRoPE(PositionMap):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708"
    revision: ClassVar[int] = 2  # pieces merge by log-sum-exp: other roundings
    window: int

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1, about half of the trained length")

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n).clamp(-self.window, self.window)

    def pieces(self) -> list[MapPiece]:
        w = self.window
        return [
            MapPiece(Near(w)),
            MapPiece(Far(w), query=At(w), key=None),
            MapPiece(Ahead(w), query=At(0), key=At(w)),
        ]


ReRoPE.examples = (ReRoPE(window=1), ReRoPE(window=5), ReRoPE(window=1000))
