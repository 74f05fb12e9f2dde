"""RoPE-Tie: text at (n, n), so that it is read as RoPE reads it, and images symmetric between their text.

After text that ends at L, with s and t apart from one row and one column to the next,

    integer     s = w + 1              t = h + 1              patch (L + r s, L + c t), (w + 1)(h + 1) - 1 positions
    fractional  s = (wh + 1)/(h + 1)   t = (wh + 1)/(w + 1)   the same, wh positions
    v2          s = t = 1              patch (L + (wh - h)/2 + r, L + (wh - w)/2 + c), wh positions

`paribus.positions.tie.Places` gives the same places to a list of segments: the slow twin, counted from 1.
"""

from typing import ClassVar

from torch import Tensor

from paribus.positions.placing.base import Placing
from paribus.positions.tie import Mode


class Tied(Placing):
    source: ClassVar[str] = (
        "苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040 and 10352 (v2)"
    )
    mode: Mode = "integer"

    def used(self, h: Tensor, w: Tensor) -> Tensor:
        return (h + 1) * (w + 1) - 1 if self.mode == "integer" else h * w

    def text(self, at: Tensor) -> tuple[Tensor, Tensor]:
        return at, at

    def patch(self, last: Tensor, row: Tensor, column: Tensor, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        if self.mode == "integer":
            return last + row * (w + 1), last + column * (h + 1)
        area = (h * w).double()
        if self.mode == "fractional":
            return last + row * ((area + 1) / (h + 1)), last + column * ((area + 1) / (w + 1))
        return last + (area - h) / 2 + row, last + (area - w) / 2 + column


Tied.examples = (
    Tied(image=4, sizes=6, largest=8),
    Tied(image=4, sizes=6, largest=8, mode="fractional"),
    Tied(image=4, sizes=6, largest=8, mode="v2"),
)
