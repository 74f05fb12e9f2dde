"""Contract of the family: rotate x by angles, and the order that leads to the half-split layout."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from paribus.core.config import Part


class Pairing(Part, ABC):
    @abstractmethod
    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn pair i by its angle: (a, b) -> (a cos - b sin, a sin + b cos).

        x (..., length, head_dim); cos and sin (..., length, head_dim / 2), of at least 32 bits. Vectors of 16 bits are
        turned in 32 and rounded once, after it.
        """

    @abstractmethod
    def half_split_order(self, head_dim: int) -> list[int]:
        """Coordinates of this layout, listed in the order of the half-split one."""


def in_32_bits(turn: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """turn(x, cos, sin), with x of 16 bits widened before it and rounded after it."""
    return turn(x.float(), cos, sin).to(x.dtype) if x.dtype.itemsize < 4 else turn(x, cos, sin)
