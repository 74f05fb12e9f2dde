"""Contract of the family: the distance f(m, n) at which a query at m scores a key at n, in pieces.

In a piece, a query at m is rotated to query(m) and a key at n to key(n), and query(m) - key(n) = f(m, n) for the pairs
that the piece owns: absolute rotations realise what no single rotation can. No pair is owned by two pieces, and pairs
that none owns are not seen. Positions are whole numbers from 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from paribus.core.config import Part
from paribus.positions.pairs import Pairs

Move = Callable[[Tensor], Tensor]  # positions -> rotated positions


def stay(positions: Tensor) -> Tensor:
    """Rotate to the position itself."""
    return positions


@dataclass(frozen=True)
class At:
    """Every vector is rotated to one position."""

    position: int

    def __call__(self, positions: Tensor) -> Tensor:
        return torch.full_like(positions, self.position)


class MapPiece(NamedTuple):
    pairs: Pairs
    query: Move = stay
    key: Move | None = stay  # None: not rotated at all, which is position 0


class PositionMap(Part, ABC):
    # True: f depends on m - n alone, so all positions may be moved by one number.
    relative: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        """f(m, n) where the pair is seen: the slow twin of the pieces."""

    @abstractmethod
    def pieces(self) -> list[MapPiece]: ...

    def kept_pieces(self) -> tuple[MapPiece, ...]:
        """The same objects for equal maps, so that layers share the tables that are kept for a move."""
        # Dynamo warns of caches, and keeps no tables.
        return tuple(self.pieces()) if torch.compiler.is_compiling() else _pieces(self)

    def causal_pieces(self) -> tuple[MapPiece, ...]:
        """Those of them that own pairs with n <= m."""
        return tuple(piece for piece in self.kept_pieces() if not piece.pairs.ahead)

    @property
    def is_identity(self) -> bool:
        return False

    @property
    def sees_all(self) -> bool:
        """False when some pairs are hidden."""
        return True


@cache
def _pieces(position_map: PositionMap) -> tuple[MapPiece, ...]:
    return tuple(position_map.pieces())
