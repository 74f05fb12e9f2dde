"""Contract of the family: scores -> weights over the last axis, exactly 0 where the mask is False.

A row whose keys are all masked gives all zeros (attention then returns the zero vector), with finite gradients.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from paribus.core.config import Part


class Normalizer(Part, ABC):
    # Non-negative weights that sum to one; a member that departs from it says so here.
    simplex: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """scores (..., keys), mask broadcastable to scores (True = may see) -> weights of the shape of scores."""
