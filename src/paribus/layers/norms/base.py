"""Contract of the family: a module (..., d_model) -> (..., d_model), one vector at a time."""

from abc import ABC, abstractmethod

from torch import nn

from paribus.core.config import Part, require


class NormConfig(Part, ABC):
    d_model: int | None = None  # None: the width of the model that holds it
    eps: float = 1e-6

    def check(self) -> None:
        require(self.eps > 0, f"eps = {self.eps}: expected a positive number such as 1e-6")

    @abstractmethod
    def build(self) -> nn.Module: ...

    @abstractmethod
    def n_parameters(self) -> int: ...
