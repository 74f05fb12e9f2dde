"""Contract of the family: places (x, y) of all tokens from the tokens themselves, so that text can hold images.

An image of h rows and w columns is written as [IMG] h w and its h w patches, row by row. The mark and the sizes are
text, and so is all that follows the last patch. Nothing else is needed: the same tokens have the same places in a
batch, in chunks and in decoding, and a place depends on no later token.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.core.config import Part, require


class Placing(Part, ABC):
    """image: the token [IMG]. A height or width s in 1 .. largest is the token sizes + s.

    A mark that no two sizes follow begins no image. A mark within an image ends it: patches are other tokens.
    """

    image: int
    sizes: int
    largest: int

    def check(self) -> None:
        require(self.largest >= 1, f"largest = {self.largest}: expected an image size of at least 1")
        require(
            self.image >= 0 and self.sizes >= -1,
            f"image = {self.image}, sizes = {self.sizes}: expected a token of the vocabulary, and sizes + 1 to be one",
        )
        require(
            not self.sizes < self.image <= self.sizes + self.largest,
            f"image = {self.image} is the size {self.image - self.sizes} too: give the mark a token of its own",
        )

    @abstractmethod
    def used(self, h: Tensor, w: Tensor) -> Tensor:
        """How many positions of text an image takes: text after it goes on so many later. int64, any shape."""

    @abstractmethod
    def text(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """(x, y) of the text token at this position."""

    @abstractmethod
    def patch(self, last: Tensor, row: Tensor, column: Tensor, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """(x, y) of the patch in row 1 .. h and column 1 .. w of an image after text that ends at `last`."""

    def __call__(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Places (batch, m, 2), int64 or float64, of the last m tokens.

        tokens int64 (batch, n), n >= m: all that was read so far. positions int64 (batch or 1, m), consecutive: those
        that the last m tokens would have as text alone.
        """
        n, m = tokens.shape[1], positions.shape[1]
        index = torch.arange(n, device=tokens.device)[None]
        begins = tokens == self.image
        size = tokens - self.sizes
        size = F.pad(size.where((size >= 1) & (size <= self.largest), 0), (0, 2))
        h, w = size[:, 1 : n + 1], size[:, 2 : n + 2]
        whole = begins & (h > 0) & (w > 0)
        h, w = h.where(whole, 0), w.where(whole, 0)
        # By how many positions more than its patches an image counts, and all images up to the last mark before it.
        more = (self.used(h, w) - h * w).where(whole, 0)
        latest = index.where(begins, -1).cummax(dim=1).values
        earlier = more.cumsum(dim=1) - more

        latest = latest[:, n - m :]
        h, w, more, earlier = (
            one.gather(1, latest.clamp_min(0)).where(latest >= 0, 0) for one in (h, w, more, earlier)
        )
        # Which patch of the last image a token is; the mark and the sizes stand before number 0.
        number = index[:, n - m :] - latest - 3
        inside = (number >= 0) & (number < h * w)
        text = positions + earlier + more.where(number >= h * w, 0)
        row, column = number // w.clamp_min(1), number % w.clamp_min(1)
        last = positions + earlier - number - 1
        patch = torch.stack(self.patch(last, row + 1, column + 1, h, w), dim=-1)
        return patch.where(inside[..., None], torch.stack(self.text(text), dim=-1))
