"""Contract of the family: inverse frequencies in, inverse frequencies out."""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part


class Scaling(Part, ABC):
    @abstractmethod
    def __call__(self, frequencies: Tensor) -> Tensor:
        """theta_i (head_dim / 2,) in float64, radians per position, decreasing -> the rewritten ones."""

    @property
    def magnitude(self) -> float:
        """What cos and sin are multiplied by, of queries and keys alike: scores gain its square."""
        return 1.0
