"""f(delta) = clip(delta, -w, w): no distance ever exceeds the window w.

Far pairs (delta >= w) are scored as if exactly w apart: the query is rotated by w and the key not at all. A window
between a quarter and a half of the trained length works best; a window as long as the trained length collapses.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import MapPiece, PositionMap


class ReRoPE(PositionMap):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708"
    window: int

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1, about half of the trained length")

    def __call__(self, distance: Tensor) -> Tensor:
        return distance.clamp(-self.window, self.window)

    def pieces(self) -> list[MapPiece]:
        w = self.window
        return [
            MapPiece(owns=lambda d: (d < w) & (d > -w), query=lambda p: p, key=lambda p: p),
            MapPiece(owns=lambda d: d >= w, query=lambda p: torch.full_like(p, w), key=torch.zeros_like),
            MapPiece(owns=lambda d: d <= -w, query=torch.zeros_like, key=lambda p: torch.full_like(p, w), ahead=True),
        ]


ReRoPE.examples = (ReRoPE(window=1), ReRoPE(window=5), ReRoPE(window=1000))
