"""Positions with parameters: a bias that is learned for each head, by the distance, with nothing rotated."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from paribus.core.config import require
from paribus.core.errors import ConfigError
from paribus.ops.merge import Share
from paribus.positions.base import Piece, Position


class LearnedBiasConfig(Position, ABC):
    """`build()` makes the module, which has the methods of a position."""

    n_heads: int

    def check(self) -> None:
        require(self.n_heads >= 1, f"n_heads = {self.n_heads}: expected at least 1")

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    @abstractmethod
    def build(self) -> "LearnedBias": ...

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        raise ConfigError(
            f"{type(self).__qualname__} has parameters: call config.build() once and use the module it returns"
        )

    def check_heads(self, n_heads: int) -> None:
        require(
            self.n_heads == n_heads,
            f"n_heads = {self.n_heads} of {type(self).__qualname__}, and the layer has {n_heads}: make the two equal",
        )


class LearnedBias(nn.Module, ABC):
    """What reads a position: only the bias is its own."""

    separable = True
    isometric = True
    relative = True
    sees_order = True
    has_bias = True

    def __init__(self, config: LearnedBiasConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def of_distance(self, distance: Tensor) -> Tensor:
        """Query position - key position (batch or 1, 1, n_queries, n_keys) -> (batch or 1, n_heads, ...)."""

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        return self.of_distance(q_positions[:, None, :, None] - k_positions[:, None, None, :])

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    def rotate_key(self, x: Tensor, positions: Tensor) -> Tensor:
        return x

    def pieces(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, causal: bool) -> list[Piece]:
        return [Piece(q, k, None)]

    def score_matrices(self, causal: bool, length: int = 1) -> int:
        return 1

    def shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None = None
    ) -> list[Share] | None:
        return None
