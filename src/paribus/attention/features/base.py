"""Contract of the family: phi maps a query or a key to features, and phi(q) phi(k) takes the place of exp(q k).

Products of features must not be negative, so that they can be weights; `positive` says when no feature itself is.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from paribus.core.config import Part


class FeatureMap(Part, ABC):
    # No feature is ever negative; products of two vectors never are, in any case.
    positive: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """(..., head_dim) -> (..., width(head_dim)), each vector for itself."""

    def width(self, head_dim: int) -> int:
        """How many features a vector of that many numbers has."""
        return head_dim
