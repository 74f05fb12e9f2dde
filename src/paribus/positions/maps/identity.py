"""f(delta) = delta: plain rotary positions."""

from typing import ClassVar

from torch import Tensor

from paribus.positions.maps.base import MapPiece, PositionMap


def _same(positions: Tensor) -> Tensor:
    return positions


class Identity(PositionMap):
    source: ClassVar[str] = "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864"

    def __call__(self, distance: Tensor) -> Tensor:
        return distance

    def pieces(self) -> list[MapPiece]:
        return [MapPiece(owns=None, query=_same, key=_same)]

    @property
    def is_identity(self) -> bool:
        return True


Identity.examples = (Identity(),)
