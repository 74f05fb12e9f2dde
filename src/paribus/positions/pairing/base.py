"""Contract of the family: rotate x by angles, and the order that leads to the half-split layout."""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part


class Pairing(Part, ABC):
    @abstractmethod
    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn pair i by its angle: (a, b) -> (a cos - b sin, a sin + b cos).

        x (..., length, head_dim); cos and sin (..., length, head_dim / 2).
        """

    @abstractmethod
    def half_split_order(self, head_dim: int) -> list[int]:
        """Coordinates of this layout, listed in the order of the half-split one."""
