"""Many parities at once, some asked for often and some seldom: skills that are learned one by one."""

from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.core.seed import generator
from paribus.data.batch import IGNORED
from paribus.data.distinct import distinct
from paribus.data.synthetic.base import Pair, Synthetic


class SparseParity(Synthetic):
    """Multitask sparse parity: a task's name, then bits; to be answered with the parity of the task's own bits.

        tokens   t3  0 1 1 0 1
        targets   .  . . . . 0        t3 asks for bits 1 and 2

    Task k = 1, 2, ... comes up with p_k proportional to k^-zipf, and asks for `of` bits that a stream of the task's own
    draws once and for all. Tokens: 0 and 1 are bits, 1 + k is task k. A length is 1 + bits. Loss at the last token.

    tasks, bits: >= 1. of: 1 to bits. zipf: >= 0; 0 asks for all tasks alike. world: another number, other bits.
    """

    source: ClassVar[str] = "Michaud, Liu, Girit, Tegmark, The Quantization Model of Neural Scaling, arXiv:2303.13506"
    tasks: int = 32
    bits: int = 16
    of: int = 3
    zipf: float = 1.5
    world: int = 0

    def check(self) -> None:
        require(self.tasks >= 1, f"SparseParity.tasks = {self.tasks}: expected at least 1")
        require(
            1 <= self.of <= self.bits, f"SparseParity.of = {self.of} of {self.bits} bits: expected 1 to {self.bits}"
        )
        require(self.zipf >= 0, f"SparseParity.zipf = {self.zipf}: expected a number of at least 0")

    @property
    def vocab_size(self) -> int:
        return 2 + self.tasks

    @property
    def chance(self) -> float:
        return 0.5

    def frequencies(self) -> npt.NDArray[np.float64]:
        """p_k, (tasks,)."""
        weights = np.arange(1, self.tasks + 1) ** -self.zipf
        return np.asarray(weights / weights.sum())

    def subsets(self) -> npt.NDArray[np.int64]:
        """The bits that each task asks for, (tasks, of)."""
        return _subsets(self.tasks, self.bits, self.of, self.world)

    def check_length(self, length: int) -> None:
        require(length == 1 + self.bits, f"SparseParity of {self.bits} bits has length {1 + self.bits}, not {length}")

    def draw(self, random: np.random.Generator, batch: int, length: int) -> Pair:
        bounds = np.cumsum(self.frequencies())
        return self.pose(random, np.minimum(np.searchsorted(bounds, random.random(batch)), self.tasks - 1))

    def pose(self, random: np.random.Generator, which: npt.NDArray[np.int64]) -> Pair:
        """Random bits for each of the tasks `which`, numbers from 0: tokens and targets (len(which), 1 + bits)."""
        bits = random.integers(2, size=(len(which), self.bits))
        tokens = np.concatenate([2 + which[:, None], bits], axis=1)
        targets = np.full(tokens.shape, IGNORED)
        targets[:, -1] = np.take_along_axis(bits, self.subsets()[which], axis=1).sum(1) % 2
        return tokens, targets


@cache
def _subsets(tasks: int, bits: int, of: int, world: int) -> npt.NDArray[np.int64]:
    return distinct(generator(world, "sparse parity", bits, of), tasks, bits, of)


SparseParity.examples = (SparseParity(bits=32), SparseParity(tasks=5, bits=32, of=1, zipf=0.0, world=1))
