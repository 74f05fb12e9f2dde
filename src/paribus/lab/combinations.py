"""Several arms as one side of a prediction: what adding two effects would give, or the mean of some arms.

With four arms of a 2 x 2, `neither`, `a`, `b` and `both`, seed by seed:

    interaction     both - (a + b - neither)                  = (both - a) - (b - neither)
    effect of a     (a + both) / 2 - (neither + b) / 2        = ((a - neither) + (both - b)) / 2

so that any prediction can speak of an interaction or a main effect by its two sides. `two_by_two` makes the arms.
"""

from abc import ABC, abstractmethod
from collections import Counter
from typing import ClassVar

from paribus.core.config import Part, require

Weights = dict[str, float]


class Combination(Part, ABC):
    """A weighted mean of arms; the weights add up to 1, so that it is on the metric's own scale."""

    @abstractmethod
    def weights(self) -> Weights:
        """Arm -> weight."""

    @abstractmethod
    def words(self) -> str:
        """What it is called in a sentence."""


class MeanOf(Combination, kw_only=False):
    """The mean of some arms: (a + b + ...) / k. `called` is its name in sentences, such as "with key norm"."""

    source: ClassVar[str] = "Yates, The Design and Analysis of Factorial Experiments, 1937, section 3 (main effects)"
    arms: tuple[str, ...]
    called: str = ""

    def check(self) -> None:
        require(
            len(self.arms) >= 2 and len(set(self.arms)) == len(self.arms),
            f"MeanOf({self.arms}): expected two arms or more, each once",
        )

    def weights(self) -> Weights:
        return dict.fromkeys(self.arms, 1 / len(self.arms))

    def words(self) -> str:
        return self.called or f"the mean of {', '.join(self.arms[:-1])} and {self.arms[-1]}"


class Added(Combination, kw_only=False):
    """What two changes would give if each kept its effect beside the other: first + second - neither."""

    source: ClassVar[str] = "Yates, The Design and Analysis of Factorial Experiments, 1937, section 3 (interactions)"
    first: str
    second: str
    neither: str

    def check(self) -> None:
        names = (self.first, self.second, self.neither)
        require(len(set(names)) == 3, f"Added{names}: expected three different arms")

    def weights(self) -> Weights:
        return {self.first: 1.0, self.second: 1.0, self.neither: -1.0}

    def words(self) -> str:
        return f"{self.first} and {self.second} added up"


Side = str | Combination


def weights_of(side: Side) -> Weights:
    return {side: 1.0} if isinstance(side, str) else side.weights()


def named(side: Side) -> str:
    return side if isinstance(side, str) else side.words()


def contrast(arm: Side, than: Side) -> Weights:
    """Arm -> weight in arm - than, in the order in which they are named; the weights add up to 0."""
    total = Counter(weights_of(arm))
    total.subtract(Counter(weights_of(than)))
    return {name: weight for name, weight in total.items() if weight}


MeanOf.examples = (MeanOf(("both", "a"), called="with a"),)
Added.examples = (Added("a", "b", "neither"),)
