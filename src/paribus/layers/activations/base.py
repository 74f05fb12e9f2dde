"""Contract of the family: an element-wise function of a tensor."""

from abc import ABC, abstractmethod

from torch import Tensor

from paribus.core.config import Part


class Activation(Part, ABC):
    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...
