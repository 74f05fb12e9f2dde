"""Only the last w keys and the first few are seen, and no distance exceeds w: f = min(m - n, w) under a mask like /\\.

The window alone fails, since the first tokens are where unused attention goes. What lies between is not read at all.
"""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import At, MapPiece, PositionMap
from paribus.positions.pairs import Near, Sinks


class LMInfinite(PositionMap):
    source: ClassVar[str] = "Han et al., LM-Infinite: Zero-Shot Extreme Length Generalization, arXiv:2308.16137"
    relative: ClassVar[bool] = False  # the first positions are special
    window: int  # at most the trained length
    sinks: int = 4

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1, at most the trained length")
        require(self.sinks >= 0, f"sinks = {self.sinks}: expected 0 or more first tokens")

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n).clamp(max=self.window)

    def pieces(self) -> list[MapPiece]:
        w = self.window
        near = [MapPiece(Near(w))]
        if self.sinks == 0:
            return near
        return [*near, MapPiece(Sinks(self.sinks, w), query=At(w), key=None)]

    @property
    def sees_all(self) -> bool:
        return False


LMInfinite.examples = (LMInfinite(window=5), LMInfinite(window=3, sinks=1), LMInfinite(window=4, sinks=0))
