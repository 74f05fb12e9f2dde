"""RoPE: rotate pair i of q at position m and of k at position n by m theta_i and n theta_i, theta_i = base^(-2i/d).

Then <q', k'> = Re sum_i q_i conj(k_i) exp(i (m - n) theta_i) depends on the distance only. `scaling` rewrites the
frequencies, `map` the distances; both may be changed after training. Angles are computed in float64 and cos and sin
rounded to float32, since a float32 angle loses its phase at large positions; bf16 angles are wrong beyond 256. Vectors
of 16 bits are turned in float32 and rounded once, after it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.ops.merge import Share, Turn
from paribus.ops.tiles import shifted
from paribus.positions.base import Piece, Position
from paribus.positions.maps.base import At, MapPiece, Move, PositionMap, stay
from paribus.positions.maps.identity import Identity
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairs import Queries
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.unscaled import Unscaled
from paribus.positions.tables import Table, table


class Rotary(Position):
    source: ClassVar[str] = "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864"
    base: float = 10000.0
    pairing: Pairing = HalfSplit()
    scaling: Scaling = Unscaled()
    map: PositionMap = Identity()

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a number above 1, usually 10000")
        require(
            self.map.is_identity or not self.scaling.changes,
            f"{type(self.scaling).__name__} changes with the length and {type(self.map).__name__} bounds the distance: "
            "use one of them",
        )

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return self.map.is_identity and not self.scaling.changes

    @property
    def relative(self) -> bool:
        return self.map.relative and not self.scaling.changes

    def check_head_dim(self, head_dim: int) -> None:
        require(head_dim % 2 == 0, f"head_dim = {head_dim}: rotary positions turn pairs, so it must be even")
        pairs, name = self.scaling.pairs, type(self.scaling).__name__
        require(
            pairs in (None, head_dim // 2),
            f"head_dim = {head_dim}: {name} was made for heads of {2 * (pairs or 0)} coordinates",
        )

    def score_matrices(self, causal: bool, length: int = 1) -> int:
        if self.scaling.changes:
            return len(self.scaling.stages(0, length))
        return len(self._map_pieces(causal))

    def frequencies(self, head_dim: int) -> Tensor:
        """theta_i (head_dim / 2,) in float64, after scaling."""
        self.check_head_dim(head_dim)
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        return self.scaling(self.base**-exponent)

    def rotate(self, x: Tensor, positions: Tensor, move: Move = stay) -> Tensor:
        """x turned to where `move` moves these positions."""
        return self.pairing.rotate(x, *self._table(positions, x, move))

    def rotate_back(self, x: Tensor, positions: Tensor) -> Tensor:
        """What `rotate` to these positions made of it."""
        return self.rotate(x, -positions) / self.scaling.magnitude**2

    def _table(self, positions: Tensor, like: Tensor, move: Move = stay) -> Table:
        """cos and sin (batch or 1, 1, length, head_dim / 2) of the angles, times the magnitude of the scaling.

        Made once for these positions: queries, keys and all layers of a step ask for the same.
        """
        return table((self, move), positions, like, lambda: self._new_table(move(positions), like))

    def _new_table(self, positions: Tensor, like: Tensor) -> Table:
        theta = self.frequencies(like.shape[-1]).to(like.device)
        angles = positions.to(torch.float64)[:, None, :, None] * theta
        dtype = torch.float32 if like.dtype.itemsize < 4 else like.dtype
        cos, sin = angles.cos(), angles.sin()
        if (magnitude := self.scaling.magnitude) != 1.0:
            cos, sin = cos * magnitude, sin * magnitude
        return cos.to(dtype), sin.to(dtype)

    def _map_pieces(self, causal: bool) -> Sequence[MapPiece]:
        return self.map.causal_pieces() if causal else self.map.kept_pieces()

    def pieces(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, causal: bool) -> list[Piece]:
        m, n = q_positions[:, None, :, None], k_positions[:, None, None, :]
        if self.scaling.changes and q_positions.numel() > 0:
            stages = self.scaling.stages(int(q_positions.min()), int(q_positions.max()) + 1)
            fixed = [(stage, replace(self, scaling=stage.scaling)) for stage in stages]
            return [
                Piece(
                    rotary.rotate(q, q_positions),
                    rotary.rotate(k, k_positions),
                    ((m >= stage.first) & (m < stage.stop)) if place > 0 else None,
                )
                for place, (stage, rotary) in enumerate(fixed)
            ]
        found: list[Piece] = []
        for piece in self._map_pieces(causal):
            still = piece.key is None and self.scaling.magnitude == 1.0
            key = None if still else (piece.key or At(0))(k_positions)
            # The first piece of a map that sees all owns what no other does.
            owns = None if not found and self.map.sees_all else piece.pairs(m, n)
            turned = k if key is None else self.rotate(k, key)
            found.append(Piece(self.rotate(q, q_positions, piece.query), turned, owns))
        return found

    def shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None = None
    ) -> list[Share] | None:
        stop, start = k.shape[2], k.shape[2] - q.shape[2]
        if self.scaling.changes:
            return self._staged_shares(q, k, q_positions, k_positions, first, window)
        found = []
        for piece in self.map.causal_pieces():
            pairs = piece.pairs if window is None else piece.pairs.within(window)
            if pairs is None:
                return None
            rows = self._turns(piece.query, q_positions, q)
            columns: tuple[Turn | None, Turn | None] = (None, None)
            if piece.key is piece.query and q_positions is k_positions:
                columns = rows
            elif piece.key is not None or self.scaling.magnitude != 1.0:
                columns = self._turns(piece.key or At(0), k_positions, k)
            tiles, faster = pairs.tiles(first, start, stop), pairs.windowed(first, start, stop)
            found.append(
                Share(shifted(tiles, start), None if faster is None else shifted(faster, start), *rows, *columns)
            )
        return found

    def _staged_shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None
    ) -> list[Share]:
        stop, start = k.shape[2], k.shape[2] - q.shape[2]
        found = []
        for stage in self.scaling.stages(first + start, first + stop):
            fixed = replace(self, scaling=stage.scaling)
            rows, columns = fixed._turns(stay, q_positions, q), fixed._turns(stay, k_positions, k)
            tiles = Queries(stage.first, stage.stop, window).tiles(first, start, stop)
            found.append(Share(shifted(tiles, start), None, *rows, *columns))
        return found

    def _turns(self, move: Move, positions: Tensor, like: Tensor) -> tuple[Turn, Turn]:
        """Rotation to the positions that a piece moves these to, and its adjoint, for slices of the length."""
        constant = isinstance(move, At)
        cos, sin = self._table(move(positions[:, :1] if constant else positions), like)

        def turn(x: Tensor, start: int, stop: int, sine: Tensor) -> Tensor:
            at = [table.expand(-1, -1, stop, -1) if constant else table for table in (cos, sine)]
            return self.pairing.rotate(x, *(table[:, :, start:stop] for table in at))

        return lambda x, start, stop: turn(x, start, stop, sin), lambda x, start, stop: turn(x, start, stop, -sin)


Rotary.examples = (Rotary(), Rotary(base=100.0))
