"""Positions that turn only the last `width` numbers of a head: what stands before them is content without a place.

    <q, k> = <q_content, k_content> + <R_m q_rope, R_n k_rope>

Content that is never rotated can be read from a latent by matrices that move to the query's side.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Piece, Position
from paribus.positions.rotary import Rotary


class Decoupled(Position):
    source: ClassVar[str] = "DeepSeek-AI, DeepSeek-V2, arXiv:2405.04434, section 2.1.3"
    inner: Position = Rotary()
    width: int

    def check(self) -> None:
        require(self.width >= 0, f"width = {self.width}: expected 0 or more numbers that are turned")
        if self.width > 0:
            self.inner.check_head_dim(self.width)

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return self.width == 0 or self.inner.separable

    @property
    def sees_order(self) -> bool:
        return self.width > 0 and self.inner.sees_order

    @property
    def has_bias(self) -> bool:
        return self.inner.has_bias

    def score_matrices(self, causal: bool, length: int = 1) -> int:
        return 1 if self.width == 0 else self.inner.score_matrices(causal, length)

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return self._turn(x, positions, self.inner.rotate)

    def rotate_key(self, x: Tensor, positions: Tensor) -> Tensor:
        return self._turn(x, positions, self.inner.rotate_key)

    def _turn(self, x: Tensor, positions: Tensor, turn: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        if self.width == 0:
            return x
        content, rope = x.split((x.shape[-1] - self.width, self.width), dim=-1)
        return torch.cat((content, turn(rope, positions)), dim=-1)

    def pieces(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, causal: bool) -> list[Piece]:
        if self.width == 0:
            return [Piece(q, k, None)]
        q_content, q_rope = q.split((q.shape[-1] - self.width, self.width), dim=-1)
        k_content, k_rope = k.split((k.shape[-1] - self.width, self.width), dim=-1)
        return [
            Piece(torch.cat((q_content, piece.query), dim=-1), torch.cat((k_content, piece.key), dim=-1), piece.owns)
            for piece in self.inner.pieces(q_rope, k_rope, q_positions, k_positions, causal)
        ]

    def bias(self, n_heads: int, q_positions: Tensor, k_positions: Tensor) -> Tensor | None:
        return self.inner.bias(n_heads, q_positions, k_positions)


Decoupled.examples = (Decoupled(width=4),)
