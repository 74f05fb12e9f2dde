"""Contract of the family: inverse frequencies in, inverse frequencies out."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from paribus.core.config import Part


class Stage(NamedTuple):
    """The frequencies of the queries at positions first .. stop - 1, and of all keys that these meet."""

    first: int
    stop: int
    scaling: "Scaling"


class Scaling(Part, ABC):
    # True: frequencies depend on the query's position, so keys cannot be cached rotated.
    changes: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, frequencies: Tensor) -> Tensor:
        """theta_i (head_dim / 2,) in float64, radians per position, decreasing -> the rewritten ones."""

    def stages(self, first: int, stop: int) -> list[Stage]:
        """What the queries at positions first .. stop - 1 use, from the first to the last."""
        return [Stage(first, stop, self)]

    @property
    def pairs(self) -> int | None:
        """How many pairs a head must have; None: any number."""
        return None

    @property
    def magnitude(self) -> float:
        """What cos and sin are multiplied by, of queries and keys alike: scores gain its square."""
        return 1.0
