"""RoPE-Tie: places (x, y) for a list of texts and images in one sequence, for Rotary2D; `placing` reads tokens.

Text stands at (n, n). After text that ends at L, the patch in row r = 1 .. h and column c = 1 .. w of an image is at

    integer     (L + r (w + 1), L + c (h + 1)),                     and text goes on at L + (w + 1)(h + 1)
    fractional  (L + r (wh + 1)/(h + 1), L + c (wh + 1)/(w + 1)),   and text goes on at L + wh + 1
    v2          (L + (wh - h)/2 + r, L + (wh - w)/2 + c),           and text goes on at L + wh + 1

so that the text before an image is as far from its first patch as the text after it from its last one. The first two
spread the patches; v2 keeps neighbours one apart. Between two images there must be text, such as a mark for the end.

Sources: 苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040 and 10352 (v2).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from paribus.core.config import require

Mode = Literal["integer", "fractional", "v2"]


@dataclass(frozen=True)
class TextRun:
    """So many text tokens."""

    tokens: int


@dataclass(frozen=True)
class ImageGrid:
    """The patches of an image, row by row."""

    rows: int
    columns: int


class Places:
    """Gives places as the sequence grows: each call goes on where the last one ended.

    last: L, the place of the last text token, as both of its coordinates; 0 before the first, which stands at 1.
    """

    def __init__(self, mode: Mode = "integer") -> None:
        require(mode in ("integer", "fractional", "v2"), f"mode = {mode!r}: expected 'integer', 'fractional' or 'v2'")
        self.mode: Mode = mode
        self.last = 0
        self._after_image = False

    def __call__(self, segments: Iterable[TextRun | ImageGrid]) -> Tensor:
        """(tokens, 2): int64 in the integer mode, float64 in the others."""
        parts = [self._text(one) if isinstance(one, TextRun) else self._image(one) for one in segments]
        dtype = torch.int64 if self.mode == "integer" else torch.float64
        return torch.cat([torch.empty(0, 2, dtype=dtype), *(part.to(dtype) for part in parts)])

    def _text(self, run: TextRun) -> Tensor:
        require(run.tokens >= 0, f"tokens = {run.tokens}: expected 0 or more")
        if run.tokens == 0:
            return torch.empty(0, 2)
        first = self.last + 1
        self.last += run.tokens
        self._after_image = False
        return torch.arange(first, self.last + 1)[:, None].expand(-1, 2)

    def _image(self, grid: ImageGrid) -> Tensor:
        h, w = grid.rows, grid.columns
        require(h >= 1 and w >= 1, f"an image of {h} x {w} patches: expected at least one row and one column")
        require(not self._after_image, "two images without text between them: put a mark before or after each image")
        self._after_image = True
        row, column = torch.meshgrid(torch.arange(1, h + 1), torch.arange(1, w + 1), indexing="ij")
        start = self.last
        if self.mode != "integer":
            row, column = row.double(), column.double()
        if self.mode == "integer":
            x, y = start + row * (w + 1), start + column * (h + 1)
            self.last += (w + 1) * (h + 1) - 1
        elif self.mode == "fractional":
            x, y = start + row * ((w * h + 1) / (h + 1)), start + column * ((w * h + 1) / (w + 1))
            self.last += w * h
        else:
            x, y = start + (w * h - h) / 2 + row, start + (w * h - w) / 2 + column
            self.last += w * h
        return torch.stack((x, y), dim=-1).flatten(0, 1)
