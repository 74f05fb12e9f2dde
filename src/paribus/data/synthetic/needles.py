"""Find a few pairs among ever more others: what attention must not lose as its keys grow in number."""

from typing import ClassVar

import numpy as np

from paribus.core.config import require
from paribus.data.batch import IGNORED
from paribus.data.distinct import distinct
from paribus.data.synthetic.base import Pair, Synthetic


class Needles(Synthetic):
    """Pairs of a key and a value, a token each; then questions, keys of which one pair each was seen.

        tokens   (3,b) (1,a) (3,a) (2,c) (1,b) |  2?  5?      a key that is asked for stands in one pair only
        targets    .     .     .     .     .      c   ...

    The asked keys are distinct, each with one pair among the last `reach` before the questions; all other pairs are
    drawn from the keys that are not asked for. So the last n tokens of a longer row are a row of length n, for any
    n >= reach + asked, and length changes one thing: among how many pairs the right one must be found. No order
    matters. Loss at the questions only. Tokens: key * values + value; the question of a key keys * values + key;
    targets are keys * values + keys + value.

    keys: more than asked. values: >= 2. asked: >= 1 questions. reach: >= asked.
    """

    source: ClassVar[str] = (
        "after Veličković, Perivolaropoulos, Barbero, Pascanu, Softmax is not Enough (for Sharp Size Generalisation), "
        "2024, arXiv:2410.01104, section 3"
    )
    keys: int = 32
    values: int = 16
    asked: int = 8
    reach: int = 56

    def check(self) -> None:
        require(self.values >= 2, f"Needles.values = {self.values}: expected at least 2, or there is nothing to tell")
        require(
            1 <= self.asked < self.keys,
            f"Needles.asked = {self.asked} of {self.keys} keys: expected at least 1, and one key that is not asked for",
        )
        require(
            self.reach >= self.asked,
            f"Needles.reach = {self.reach}: expected room for the {self.asked} pairs that are asked for",
        )

    @property
    def vocab_size(self) -> int:
        return self.keys * self.values + self.keys + self.values

    @property
    def chance(self) -> float:
        return 1 / self.values

    def check_length(self, length: int) -> None:
        least = self.reach + self.asked
        require(length >= least, f"Needles needs a length of at least reach + asked = {least}, not {length}")

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        pairs, row = length - self.asked, np.arange(batch)[:, None]
        order = distinct(random, batch, self.keys, self.keys)
        asked, others = order[:, : self.asked], order[:, self.asked :]
        keys = others[row, random.integers(self.keys - self.asked, size=(batch, pairs))]
        values = random.integers(self.values, size=(batch, pairs))
        places = pairs - self.reach + distinct(random, batch, self.reach, self.asked)
        keys[row, places] = asked

        tokens = np.empty((batch, length), dtype=np.int64)
        tokens[:, :pairs] = keys * self.values + values
        tokens[:, pairs:] = self.keys * self.values + asked
        targets = np.full((batch, length), IGNORED)
        targets[:, pairs:] = self.keys * self.values + self.keys + values[row, places]
        return tokens, targets


Needles.examples = (Needles(asked=5, reach=20), Needles(keys=3, values=2, asked=1, reach=2))
