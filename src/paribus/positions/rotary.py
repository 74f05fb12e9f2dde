"""RoPE: rotate pair i of q at position m and of k at position n by m theta_i and n theta_i, theta_i = base^(-2i/d).

Then <q', k'> = Re sum_i q_i conj(k_i) exp(i (m - n) theta_i) depends on the distance only. `scaling` rewrites the
frequencies, `map` the distances; both may be changed after training. Angles are computed in float64 and cos and sin
rounded to float32, since a float32 angle loses its phase at large positions; bf16 angles are wrong beyond 256. Vectors
of 16 bits are turned in float32 and rounded once, after it.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Piece, Position
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.identity import Identity
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.unscaled import Unscaled


class Rotary(Position):
    source: ClassVar[str] = "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864"
    base: float = 10000.0
    pairing: Pairing = HalfSplit()
    scaling: Scaling = Unscaled()
    map: PositionMap = Identity()

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a number above 1, usually 10000")

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return self.map.is_identity

    def check_head_dim(self, head_dim: int) -> None:
        require(head_dim % 2 == 0, f"head_dim = {head_dim}: rotary positions turn pairs, so it must be even")

    def score_matrices(self, causal: bool) -> int:
        return len([piece for piece in self.map.pieces() if not (causal and piece.ahead)])

    def frequencies(self, head_dim: int) -> Tensor:
        """theta_i (head_dim / 2,) in float64, after scaling."""
        self.check_head_dim(head_dim)
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        return self.scaling(self.base**-exponent)

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        theta = self.frequencies(x.shape[-1]).to(x.device)
        angles = positions.to(torch.float64)[:, None, :, None] * theta
        wide = x.float() if x.dtype.itemsize < 4 else x
        return self.pairing.rotate(wide, angles.cos().to(wide.dtype), angles.sin().to(wide.dtype)).to(x.dtype)

    def pieces(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, causal: bool) -> list[Piece]:
        return [
            Piece(self.rotate(q, piece.query(q_positions)), self.rotate(k, piece.key(k_positions)), piece.owns)
            for piece in self.map.pieces()
            if not (causal and piece.ahead)
        ]


Rotary.examples = (Rotary(), Rotary(base=100.0))
