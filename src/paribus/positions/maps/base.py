"""Contract of the family: a piecewise-linear map f of distances, as pieces that absolute rotations can realise.

In a piece, a query at m is rotated to query(m) and a key at n to key(n), and query(m) - key(n) = f(m - n) for the
distances that the piece owns. Every distance is owned by exactly one piece.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from paribus.core.config import Part


class MapPiece(NamedTuple):
    owns: Callable[[Tensor], Tensor] | None  # distances -> bool; None: every distance
    query: Callable[[Tensor], Tensor]  # positions -> rotated positions
    key: Callable[[Tensor], Tensor]
    ahead: bool = False  # owns only keys later than the query: empty under a causal mask


class PositionMap(Part, ABC):
    @abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """f(delta), delta = query position - key position: the slow twin of the pieces."""

    @abstractmethod
    def pieces(self) -> list[MapPiece]: ...

    @property
    def is_identity(self) -> bool:
        return False
