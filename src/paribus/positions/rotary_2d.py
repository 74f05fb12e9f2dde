"""RoPE of two coordinates: pairs 0, 2, 4, ... turn with the first, pairs 1, 3, 5, ... with the second.

The frequencies are those of the one-dimensional code, so a token at (n, n) is turned exactly as RoPE turns it at n:
text needs no second code. `placing` finds the places of text and images in the tokens that a model reads; without one
they are given with each call, as positions (batch or 1, length, 2), and a token at position n stands at (n, n).
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Position
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.placing.base import Placing
from paribus.positions.tables import Table, table


class Rotary2D(Position):
    source: ClassVar[str] = (
        "苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040"
    )
    takes_places: ClassVar[bool] = True
    base: float = 10000.0
    pairing: Pairing = HalfSplit()
    placing: Placing | None = None

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a number above 1, usually 10000")

    def check_head_dim(self, head_dim: int) -> None:
        require(head_dim % 4 == 0, f"head_dim = {head_dim}: two coordinates share pairs evenly, so 4 must divide it")

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """positions (batch or 1, length, 2) of any numbers, or (batch or 1, length) for both coordinates alike."""
        self.check_head_dim(x.shape[-1])
        return self.pairing.rotate(x, *table(self, positions, x, lambda: self._new_table(positions, x)))

    def _new_table(self, positions: Tensor, like: Tensor) -> Table:
        exponent = torch.arange(0, like.shape[-1], 2, dtype=torch.float64, device=like.device) / like.shape[-1]
        both = positions if positions.ndim == 3 else positions[..., None].expand(-1, -1, 2)
        # Coordinate i mod 2 for pair i.
        place = both.double().repeat(1, 1, like.shape[-1] // 4)[:, None]
        angles = place * self.base**-exponent
        dtype = torch.float32 if like.dtype.itemsize < 4 else like.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


Rotary2D.examples = (Rotary2D(), Rotary2D(base=100.0))
