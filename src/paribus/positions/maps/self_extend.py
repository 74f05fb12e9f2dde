"""f = m - n inside the window w, floor(m/G) - floor(n/G) + w - floor(w/G) outside: Leaky ReRoPE in whole numbers.

A model trained at L0 reads up to (L0 - w) G + w tokens without an untrained distance.
"""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import MapPiece, PositionMap
from paribus.positions.pairs import Ahead, Far, Near


class SelfExtend(PositionMap):
    source: ClassVar[str] = "Jin et al., LLM Maybe LongLM: Self-Extend LLM Context Window, arXiv:2401.01325"
    relative: ClassVar[bool] = False  # positions are rounded to groups that begin at 0
    window: int
    group: int  # G

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1")
        require(self.group >= 1, f"group = {self.group}: expected at least 1, which is plain RoPE")

    def reach(self, train_length: int) -> int:
        """The longest text whose distances all stay below the trained length."""
        return (train_length - self.window) * self.group + self.window

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        distance, groups = m - n, m // self.group - n // self.group
        moved = self.window - self.window // self.group
        far = groups + moved * distance.sign()
        return distance.where(distance.abs() < self.window, far)

    def pieces(self) -> list[MapPiece]:
        w, group = self.window, self.group
        moved = w - w // group
        return [
            MapPiece(Near(w)),
            MapPiece(Far(w), query=lambda p: p // group + moved, key=lambda p: p // group),
            MapPiece(Ahead(w), query=lambda p: p // group, key=lambda p: p // group + moved),
        ]


SelfExtend.examples = (SelfExtend(window=4, group=3), SelfExtend(window=7, group=2), SelfExtend(window=3, group=1))
