"""Facts first, one question at the very end: the place where an input that sees itself should help most."""

from typing import ClassVar

import numpy as np

from paribus.core.config import require
from paribus.data.batch import IGNORED
from paribus.data.synthetic.base import Pair, Synthetic


class FinalQuestion(Synthetic):
    """One fact for each of n keys, in random order, then a question: a key, to be answered with its value.

        n = 3 keys, m = 4 values; a fact is one token, 1 + key m + value
        tokens   0  7 12  3  14        keys 1, 2, 0 have the values 2, 3, 2; what has key 1?
        targets  .  .  .  .  18        1 + n m + n + 2

    A causal model has read every fact before it knows the question; one whose input sees itself (`Continuation` with
    `given` the whole row, mask InputPrefix) has not. Values are drawn evenly. Questions are 1 + n m + key, answers
    1 + n m + n + value; a longer row begins with zeros, and vocab_size may leave tokens unused.

    keys, values: at least 2, with 1 + n m + n + m <= vocab_size. length: at least n + 1.
    """

    source: ClassVar[str] = "苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529"
    vocab_size: int = 256
    keys: int = 8
    values: int = 16

    def check(self) -> None:
        require(
            self.keys >= 2 and self.values >= 2,
            f"FinalQuestion: {self.keys} keys and {self.values} values, expected at least 2 of each",
        )
        least = 1 + self.keys * self.values + self.keys + self.values
        require(
            self.vocab_size >= least,
            f"FinalQuestion: {self.keys} keys and {self.values} values need a vocabulary of {least} tokens, not "
            f"{self.vocab_size}: take fewer keys or values, or a larger vocab_size",
        )

    @property
    def chance(self) -> float:
        return 1 / self.values

    def check_length(self, length: int) -> None:
        require(
            self.keys + 1 <= length,
            f"FinalQuestion with {self.keys} keys needs a length of at least {self.keys + 1}, not {length}: take a "
            "greater length or fewer keys",
        )

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        n, m = self.keys, self.values
        order = random.permuted(np.tile(np.arange(n), (batch, 1)), axis=1)
        said = random.integers(m, size=(batch, n))
        asked = random.integers(n, size=(batch, 1))  # the place of the fact that is asked for
        tokens = np.zeros((batch, length), np.int64)
        tokens[:, length - n - 1 : -1] = 1 + order * m + said
        tokens[:, -1:] = 1 + n * m + np.take_along_axis(order, asked, axis=1)
        targets = np.full((batch, length), IGNORED)
        targets[:, -1:] = 1 + n * m + n + np.take_along_axis(said, asked, axis=1)
        return tokens, targets


FinalQuestion.examples = (FinalQuestion(), FinalQuestion(vocab_size=20, keys=3, values=4))
