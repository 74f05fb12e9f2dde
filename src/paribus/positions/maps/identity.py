"""f(m, n) = m - n: plain rotary positions."""

from typing import ClassVar

from torch import Tensor

from paribus.positions.maps.base import MapPiece, PositionMap
from paribus.positions.pairs import Every


class Identity(PositionMap):
    source: ClassVar[str] = "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864"

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return m - n

    def pieces(self) -> list[MapPiece]:
        return [MapPiece(Every())]

    @property
    def is_identity(self) -> bool:
        return True


Identity.examples = (Identity(),)
