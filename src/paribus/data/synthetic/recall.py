"""Look up several keys in a list that was read before: what separates attention from recurrences of small state."""

from typing import ClassVar

import numpy as np

from paribus.core.config import require
from paribus.data.batch import IGNORED
from paribus.data.distinct import distinct
from paribus.data.synthetic.base import Pair, Synthetic


class MultiQueryRecall(Synthetic):
    """Multi-query associative recall: k_1 v_1 ... k_n v_n, then each key once more, to be answered with its value.

        tokens   2 8  4 7  x x 4 x x x 2 x
        targets  . .  . .  . . 7 . . . 8 .

    Keys are distinct in [1, vocab_size // 2), values distinct in [vocab_size // 2, vocab_size), x is any token. The
    queries stand at even distances 2 r after the list, r in [0, (length - 2 pairs) // 2) drawn without replacement
    with weight (r + 1)^(power - 1). Loss at the queries only. Defaults are those of the authors' generator.

    pairs: n >= 1, with 4 n <= length. power: > 0; 1 spreads the queries evenly, 0.01 favours near ones.
    """

    source: ClassVar[str] = (
        "Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou, Rudra, Ré, Zoology: Measuring and Improving Recall in "
        "Efficient Language Models, 2023, arXiv:2312.04927"
    )
    vocab_size: int = 8192
    pairs: int = 8
    power: float = 0.01

    def check(self) -> None:
        require(self.pairs >= 1, f"MultiQueryRecall.pairs = {self.pairs}: expected at least 1")
        require(self.power > 0, f"MultiQueryRecall.power = {self.power}: expected a number above 0")
        keys = self.vocab_size // 2 - 1
        require(
            keys >= self.pairs,
            f"MultiQueryRecall: a vocabulary of {self.vocab_size} has {max(0, keys)} keys, too few for {self.pairs} "
            f"pairs; take vocab_size of at least {2 * self.pairs + 2}, or fewer pairs",
        )

    @property
    def chance(self) -> float:
        return 1 / (self.vocab_size - self.vocab_size // 2)

    def check_length(self, length: int) -> None:
        require(
            4 * self.pairs <= length,
            f"MultiQueryRecall with {self.pairs} pairs needs a length of at least {4 * self.pairs}, not {length}: "
            f"take a greater length, or at most {length // 4} pairs",
        )

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        half, listed = self.vocab_size // 2, 2 * self.pairs
        keys = 1 + distinct(random, batch, half - 1, self.pairs)
        values = half + distinct(random, batch, self.vocab_size - half, self.pairs)
        space = (length - listed) // 2
        # The order of arrival of exponentials with these rates is that of weighted draws without replacement.
        arrival = random.standard_exponential((batch, space)) / np.arange(1, space + 1) ** (self.power - 1)
        queries = listed + 2 * np.argsort(arrival, axis=1)[:, : self.pairs]

        tokens = random.integers(self.vocab_size, size=(batch, length))
        tokens[:, 0:listed:2], tokens[:, 1:listed:2] = keys, values
        np.put_along_axis(tokens, queries, keys, axis=1)
        targets = np.full((batch, length), IGNORED)
        np.put_along_axis(targets, queries, values, axis=1)
        return tokens, targets


MultiQueryRecall.examples = (
    MultiQueryRecall(vocab_size=18, pairs=3),
    MultiQueryRecall(vocab_size=8, pairs=3, power=1.0),
    MultiQueryRecall(),
)
