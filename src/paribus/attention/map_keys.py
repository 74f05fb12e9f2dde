"""What the caches of relative-position maps know of a map's pieces: how each turns keys, and how many it meets."""

from collections.abc import Sequence

from torch import Tensor

from paribus.positions.maps.base import At, MapPiece, Move
from paribus.positions.pairs import Near, Sinks
from paribus.positions.rotary import Rotary


def ring_width(pieces: Sequence[MapPiece]) -> int:
    """The width of the ring; 0 where the near piece turns keys as the others do."""
    return next((piece.pairs.width for piece in pieces if isinstance(piece.pairs, Near)), 0)


def count_sinks(pieces: Sequence[MapPiece]) -> int:
    return next((piece.pairs.count for piece in pieces if isinstance(piece.pairs, Sinks)), 0)


def turn(rotary: Rotary, x: Tensor, move: Move | None, positions: Tensor) -> Tensor:
    """Keys as a piece turns them."""
    if move is None and rotary.scaling.magnitude == 1.0:
        return x
    return rotary.rotate(x, positions, move or At(0))


def turn_back(rotary: Rotary, x: Tensor, move: Move | None, positions: Tensor) -> Tensor:
    if move is None and rotary.scaling.magnitude == 1.0:
        return x
    return rotary.rotate_back(x, (move or At(0))(positions))
