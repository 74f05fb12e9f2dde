"""RoPE of two coordinates: pairs 0, 2, 4, ... turn with the first, pairs 1, 3, 5, ... with the second.

The frequencies are those of the one-dimensional code, so a token at (n, n) is turned exactly as RoPE turns it at n:
text needs no second code. `tie.py` gives text and images their places.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Position
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.half_split import HalfSplit


class Rotary2D(Position):
    source: ClassVar[str] = (
        "苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040"
    )
    base: float = 10000.0
    pairing: Pairing = HalfSplit()

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a number above 1, usually 10000")

    def check_head_dim(self, head_dim: int) -> None:
        require(head_dim % 4 == 0, f"head_dim = {head_dim}: two coordinates share pairs evenly, so 4 must divide it")

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """positions (batch or 1, length, 2) of any numbers, or (batch or 1, length) for both coordinates alike."""
        self.check_head_dim(x.shape[-1])
        exponent = torch.arange(0, x.shape[-1], 2, dtype=torch.float64, device=x.device) / x.shape[-1]
        both = positions if positions.ndim == 3 else positions[..., None].expand(-1, -1, 2)
        # Coordinate i mod 2 for pair i.
        place = both.double().repeat(1, 1, x.shape[-1] // 4)[:, None]
        angles = place * self.base**-exponent
        dtype = torch.float32 if x.dtype.itemsize < 4 else x.dtype
        return self.pairing.rotate(x, angles.cos().to(dtype), angles.sin().to(dtype))


Rotary2D.examples = (Rotary2D(), Rotary2D(base=100.0))
