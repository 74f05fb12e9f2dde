"""Text as a single line at (0, n): the code of layouts, in which text has a row that it does not need.

After text that ends at L the patch in row r = 1 .. h and column c = 1 .. w is at (r, L + c), and text goes on at
(0, L + w + 1). Neighbouring patches are one apart, but text is not read as RoPE reads it: half of the pairs stand
still.
"""

from typing import ClassVar

from torch import Tensor

from paribus.positions.placing.base import Placing


class FakeRow(Placing):
    source: ClassVar[str] = (
        "after 苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040"
    )

    def used(self, h: Tensor, w: Tensor) -> Tensor:
        return w

    def text(self, at: Tensor) -> tuple[Tensor, Tensor]:
        return at.new_zeros(()).expand_as(at), at

    def patch(self, last: Tensor, row: Tensor, column: Tensor, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return row, last + column


FakeRow.examples = (FakeRow(image=4, sizes=6, largest=8),)
