"""Text is cut into chunks of c_s positions and no distance exceeds c - 1: dual chunk attention.

A key stands at n mod c_s. A query stands at m mod c_s for its own chunk, at min(m mod c_s + c_s, c - 1) for the chunk
before, so that near distances are exact across the border, and at c - 1 for all older ones.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import At, MapPiece, PositionMap
from paribus.positions.pairs import ChunksBack


class DualChunk(PositionMap):
    source: ClassVar[str] = "An et al., Training-Free Long-Context Scaling of Large Language Models, arXiv:2402.17463"
    relative: ClassVar[bool] = False  # chunks begin at multiples of c_s
    chunk: int  # c_s
    train_length: int  # c

    def check(self) -> None:
        require(
            1 <= self.chunk < self.train_length,
            f"chunk = {self.chunk} with train_length = {self.train_length}: expected 1 <= chunk < train_length, "
            "about three quarters of it",
        )

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        back = m // self.chunk - n // self.chunk
        following = (m % self.chunk + self.chunk).clamp(max=self.train_length - 1)
        older = torch.full_like(m, self.train_length - 1)
        return (m % self.chunk).where(back <= 0, following.where(back == 1, older)) - n % self.chunk

    def pieces(self) -> list[MapPiece]:
        size, last = self.chunk, self.train_length - 1

        def inside(p: Tensor) -> Tensor:
            return p % size

        return [
            MapPiece(ChunksBack(size, 0, 0), query=inside, key=inside),
            MapPiece(ChunksBack(size, 1, 1), query=lambda p: (p % size + size).clamp(max=last), key=inside),
            MapPiece(ChunksBack(size, 2, None), query=At(last), key=inside),
        ]

    @property
    def sees_all(self) -> bool:
        return False  # a later key has no place


DualChunk.examples = (
    DualChunk(chunk=4, train_length=6),
    DualChunk(chunk=3, train_length=7),
    DualChunk(chunk=2, train_length=3),
)
