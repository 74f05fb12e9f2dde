"""Pictures of several widths in a text: what stands above? A flat sequence hides it in a distance, the width."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.synthetic.base import Pair, Synthetic

Content = Mapping[str, npt.NDArray[np.int64]]

LATER = 3  # letters after a picture, at most


class PatchAbove(Synthetic):
    """A picture of random symbols in a text, row by row between marks; each patch asks which symbol stands above it.

        tokens   a b  [IMG] 2 3   P Q R   S P U   [/IMG]  b        h = 2 rows, w = 3 columns
        targets  . .    .   . .   . . .   P Q R     .     .

    With separators=True a [SEP] follows each row of symbols; the two ways of writing have equal content, and batches
    of equal digests. w is drawn evenly from `widths`, h from 2 .. patches // w. Letters fill the row on the left, and
    up to three follow the picture. Loss below the first row only. A picture of another width has no more symbols than
    those that were trained on; where patches // min(widths) reaches it, its size was seen as a height: then nothing
    but the width is new.

    Tokens: letters, [IMG], [/IMG], [SEP], the sizes 1 .. patches // 2, symbols; see the properties.

    widths: distinct, 2 to patches // 2. patches: of a picture at most, at least 4. symbols: at least 2.
    """

    source: ClassVar[str] = (
        "after 苏剑林, Transformer升级之路：17、多模态位置编码的简单思考, 2024-03-29, kexue.fm/archives/10040"
    )
    widths: tuple[int, ...] = (3, 4, 5)
    patches: int = 18
    symbols: int = 8
    letters: int = 4
    separators: bool = False

    def check(self) -> None:
        require(self.patches >= 4, f"PatchAbove.patches = {self.patches}: expected at least 4, two rows of two")
        require(
            len(self.widths) > 0 and len(set(self.widths)) == len(self.widths),
            f"PatchAbove.widths = {self.widths}: expected at least one width, none of them twice",
        )
        require(
            all(2 <= width <= self.largest for width in self.widths),
            f"PatchAbove.widths = {self.widths}: two rows of at most {self.patches} patches have 2 to {self.largest} "
            "columns; take such widths, or more patches",
        )
        require(
            self.symbols >= 2 and self.letters >= 1,
            f"PatchAbove: {self.symbols} symbols and {self.letters} letters, expected at least 2 and 1",
        )

    @property
    def largest(self) -> int:
        """The largest height or width that can be written."""
        return self.patches // 2

    @property
    def image(self) -> int:
        """The token [IMG]; [/IMG] and [SEP] follow it."""
        return self.letters

    @property
    def sizes(self) -> int:
        """A height or width s is the token sizes + s."""
        return self.image + 2

    @property
    def first_symbol(self) -> int:
        return self.sizes + self.largest + 1

    @property
    def vocab_size(self) -> int:
        return self.first_symbol + self.symbols

    @property
    def chance(self) -> float:
        return 1 / self.symbols

    @property
    def content(self) -> "PatchAbove":
        return replace(self, separators=False)

    def check_length(self, length: int) -> None:
        # Two marks and two sizes, patches, a separator for each of the most rows, letters.
        least = 4 + self.patches + self.patches // min(self.widths) + LATER
        require(
            length >= least,
            f"PatchAbove with {self.patches} patches, {min(self.widths)} columns and more, needs a length of at least "
            f"{least}, not {length}: take a greater length, or fewer patches",
        )

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        return self._written(self._drawn(random, batch, length))

    def batch_of(self, random: np.random.Generator, batch: int, length: int) -> Batch:
        drawn = self._drawn(random, batch, length)
        return Batch(*self._written(drawn), digest_of(*drawn.values()))

    def _drawn(self, random: np.random.Generator, batch: int, length: int) -> Content:
        """Everything but how it is written, the same however that is."""
        width = np.array(self.widths)[random.integers(len(self.widths), size=batch)]
        return {
            "width": width,
            "height": random.integers(2, self.patches // width, endpoint=True),
            "symbols": random.integers(self.symbols, size=(batch, self.patches)),
            "text": random.integers(self.letters, size=(batch, length)),
            "later": random.integers(LATER, size=batch, endpoint=True),
        }

    def _written(self, drawn: Content) -> Pair:
        image, end, separator = range(self.image, self.image + 3)
        tokens = drawn["text"].copy()
        targets = np.full_like(tokens, IGNORED)
        for row, (h, w) in enumerate(zip(drawn["height"].tolist(), drawn["width"].tolist(), strict=True)):
            grid = self.first_symbol + drawn["symbols"][row, : h * w].reshape(h, w)
            above = np.vstack((np.full(w, IGNORED), grid[:-1]))
            if self.separators:
                grid, above = (
                    np.column_stack((one, np.full(h, last))) for one, last in ((grid, separator), (above, IGNORED))
                )
            stop = tokens.shape[1] - int(drawn["later"][row])
            start = stop - 1 - grid.size
            tokens[row, start - 3 : start] = image, self.sizes + h, self.sizes + w
            tokens[row, start : stop - 1] = grid.ravel()
            tokens[row, stop - 1] = end
            targets[row, start : stop - 1] = above.ravel()
        return tokens, targets


PatchAbove.examples = (
    PatchAbove(),
    PatchAbove(widths=(4,), patches=8, symbols=3, letters=1, separators=True),
)
