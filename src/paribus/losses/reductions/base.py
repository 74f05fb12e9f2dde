"""Contract of the family: which weight each token's loss gets. Ignored tokens get 0; a batch of them gives 0."""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part


class Reduction(Part, ABC):
    @abstractmethod
    def weights(self, kept: Tensor) -> Tensor:
        """kept (..., length) boolean -> float32 weights of the same shape, 0 where not kept."""

    def __call__(self, losses: Tensor, kept: Tensor) -> Tensor:
        """losses and kept (..., length) -> a scalar; a loss that is not kept has no say, not even NaN."""
        return (losses.where(kept, 0.0) * self.weights(kept).to(losses.dtype)).sum()
