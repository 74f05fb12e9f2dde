"""The first few keys and the last w are kept, and positions are counted inside what is kept.

A query at m meets a recent key at m - n and the sink n at min(m, sinks + w - 1) - n: as if what lies between did not
exist. A cache of this map has a constant size.
"""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import MapPiece, PositionMap
from paribus.positions.pairs import Near, Sinks


class StreamingLLM(PositionMap):
    source: ClassVar[str] = "Xiao et al., Efficient Streaming Language Models with Attention Sinks, arXiv:2309.17453"
    relative: ClassVar[bool] = False  # the first positions are special
    window: int  # window + sinks is at most the trained length
    sinks: int = 4

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1")
        require(self.sinks >= 1, f"sinks = {self.sinks}: expected at least 1 first token, usually 4")

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n).where(m - n < self.window, m.clamp(max=self.window + self.sinks - 1) - n)

    def pieces(self) -> list[MapPiece]:
        last = self.window + self.sinks - 1
        return [
            MapPiece(Near(self.window)),
            MapPiece(Sinks(self.sinks, self.window), query=lambda p: p.clamp(max=last)),
        ]

    @property
    def sees_all(self) -> bool:
        return False


StreamingLLM.examples = (StreamingLLM(window=5), StreamingLLM(window=3, sinks=1))
