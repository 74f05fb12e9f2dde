"""RoPE whose pairs decay with the distance: pair i of q times z_i^(m/B), of k times z_i^(-n/B).

z_i = (i / (d/2) + g) / (1 + g): the score of pair i falls by z_i^((m - n)/B), so that far keys count little. Powers of
32-bit numbers end at about B * 70 positions; beyond it use blocks.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.base import Position
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.half_split import HalfSplit


class XPos(Position):
    source: ClassVar[str] = "Sun et al., A Length-Extrapolatable Transformer, arXiv:2212.10554"
    isometric: ClassVar[bool] = False
    base: float = 10000.0
    scale: float = 512.0  # B
    gamma: float = 0.4  # g
    pairing: Pairing = HalfSplit()

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a number above 1, usually 10000")
        require(self.scale > 0, f"scale = {self.scale}: expected a positive number of positions, usually 512")
        require(self.gamma > 0, f"gamma = {self.gamma}: expected a positive number, usually 0.4")

    def check_head_dim(self, head_dim: int) -> None:
        require(head_dim % 2 == 0, f"head_dim = {head_dim}: rotary positions turn pairs, so it must be even")

    def decay(self, head_dim: int) -> Tensor:
        """z_i (head_dim / 2,) in float64, in (0, 1]."""
        self.check_head_dim(head_dim)
        pair = torch.arange(head_dim // 2, dtype=torch.float64) / (head_dim // 2)
        return (pair + self.gamma) / (1 + self.gamma)

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        return self._turn(x, positions, 1.0)

    def rotate_key(self, x: Tensor, positions: Tensor) -> Tensor:
        return self._turn(x, positions, -1.0)

    def _turn(self, x: Tensor, positions: Tensor, sign: float) -> Tensor:
        pairs = torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1]
        place = positions.double()[:, None, :, None]
        angles = place * (self.base**-pairs).to(x.device)
        size = torch.exp(sign / self.scale * place * self.decay(x.shape[-1]).log().to(x.device))
        dtype = torch.float32 if x.dtype.itemsize < 4 else x.dtype
        return self.pairing.rotate(x, (angles.cos() * size).to(dtype), (angles.sin() * size).to(dtype))


XPos.examples = (XPos(), XPos(base=100.0, gamma=1.0))
