"""Say again what was read: the plainest test of memory for a whole sequence."""

from typing import ClassVar

import numpy as np

from paribus.core.config import require
from paribus.data.batch import IGNORED
from paribus.data.synthetic.base import Pair, Synthetic


class Copy(Synthetic):
    """n random symbols, a separator, the same symbols again, n = length // 2; loss on the second run only.

        tokens   a b c | a b
        targets  . . . a b c

    Symbols are in [0, vocab_size - 1), repeats allowed; the separator is vocab_size - 1. In an odd length the last
    token is one more separator, without loss.

    vocab_size: at least 3, so that there is something to tell apart. length: at least 2.
    """

    source: ClassVar[str] = (
        "Graves, Wayne, Danihelka, Neural Turing Machines, 2014, arXiv:1410.5401, section 4.1; as next-token "
        "prediction: Jelassi, Brandfonbrener, Kakade, Malach, Repeat After Me, 2024, arXiv:2402.01032"
    )
    vocab_size: int = 64

    def check(self) -> None:
        require(
            self.vocab_size >= 3,
            f"Copy.vocab_size = {self.vocab_size}: expected at least 3, two symbols and the separator",
        )

    @property
    def chance(self) -> float:
        return 1 / (self.vocab_size - 1)

    def check_length(self, length: int) -> None:
        require(length >= 2, f"Copy needs a length of at least 2, one symbol and the separator, not {length}")

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        n, separator = length // 2, self.vocab_size - 1
        symbols = random.integers(separator, size=(batch, n))
        tokens = np.full((batch, length), separator)
        tokens[:, :n], tokens[:, n + 1 : 2 * n] = symbols, symbols[:, :-1]
        targets = np.full((batch, length), IGNORED)
        targets[:, n : 2 * n] = symbols
        return tokens, targets


Copy.examples = (Copy(), Copy(vocab_size=3))
