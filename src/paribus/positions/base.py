"""Contract of the family: from raw queries and keys to the pieces whose dot products are the scores.

The score of query m and key n is <query_p(q, m), key_p(k, n)> for the one piece p that owns the pair, plus a bias.
Plain rotary embedding is a single piece; a relative-position map (ReRoPE) has several, each owning some pairs, and
pairs that none owns are hidden. A dense evaluator takes each score from its piece (`pieces`); a fast one merges one
plain attention per piece by log-sum-exp (`shares`).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from paribus.core.config import Part
from paribus.ops.merge import Share


class Piece(NamedTuple):
    """One set of pairs and the vectors whose dot product scores them."""

    query: Tensor  # (batch, heads, n_queries, head_dim)
    key: Tensor  # (batch, kv_heads, n_keys, head_dim)
    # (batch or 1, 1, n_queries, n_keys), True where the piece scores. None in the first piece: all that no other owns.
    owns: Tensor | None


class Position(Part, ABC):
    # True: scores are <rotate(q, m), rotate(k, n)>, so keys may be cached rotated and a fused kernel may be used.
    separable: ClassVar[bool] = True
    # True: `rotate` turns vectors without a change of their lengths, up to one factor for all of them.
    isometric: ClassVar[bool] = True
    # True: positions may be places, (batch or 1, length, 2) of any numbers.
    takes_places: ClassVar[bool] = False

    @abstractmethod
    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """(batch, heads, length, head_dim) at positions (batch or 1, length) -> the same shape."""

    def rotate_key(self, x: Tensor, positions: Tensor) -> Tensor:
        """As `rotate`, for keys, where they are turned by another map than queries."""
        return self.rotate(x, positions)

    def check_head_dim(self, head_dim: int) -> None:
        """Raise ConfigError for a width of a head that the position cannot serve."""

    def score_matrices(self, causal: bool, length: int = 1) -> int:
        """How many products of all queries with all keys the pieces ask for: what a dense evaluator pays.

        length: of the sequence, at positions from 0 on.
        """
        return 1

    def pieces(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, causal: bool) -> list[Piece]:
        """The pieces of raw q and k. `causal` says that no query meets a later key, so that those pairs may go."""
        return [Piece(self.rotate(q, q_positions), self.rotate_key(k, k_positions), None)]

    def shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None = None
    ) -> list[Share] | None:
        """The pieces of raw q and k for ops/merge, or None where the dense evaluator is the only one.

        Keys stand at consecutive positions from `first` on, queries are the last of them, and no query sees a later
        key, nor one `window` places back or more.
        """
        return None

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        """What is added to the scores, (batch or 1, n_heads or 1, n_queries, n_keys), or None."""
        return None

    @property
    def has_bias(self) -> bool:
        """False where `bias` adds nothing, whatever the positions."""
        return type(self).bias is not Position.bias

    @property
    def reads_key_positions(self) -> bool:
        """True when a cache must hold where its keys stand: they are stored as they are, or a bias asks for it."""
        return not self.separable or self.has_bias

    def n_parameters(self) -> int:
        return 0

    def check_heads(self, n_heads: int) -> None:
        """Raise ConfigError for a number of heads that the position cannot serve."""

    @property
    def relative(self) -> bool:
        """True when scores depend on the distance alone."""
        return True

    @property
    def sees_order(self) -> bool:
        """False when only a mask can tell the order of keys: a bidirectional layer would be blind to it."""
        return True
