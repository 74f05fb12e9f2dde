"""Contract of the family: a module (..., d_model) -> (..., d_model) of inner width d_ff.

d_ff is the one knob that the budget turns to match arms, in multiples of 4. A network that uses a part of itself for
each token says which by `active_parameters`, `parameters_read` and `inner_width`.
"""

from abc import ABC, abstractmethod

from torch import nn

from paribus.core.config import Part, require


class FeedForwardConfig(Part, ABC):
    d_model: int | None = None  # None: the width of the model that holds it
    d_ff: int
    residual_gain: float = 1.0  # scale of the output matrix at the start; a model sets 1 / sqrt(2 n_layers)

    def check(self) -> None:
        require(self.d_ff >= 1, f"d_ff = {self.d_ff}: expected a positive width")

    @abstractmethod
    def build(self) -> nn.Module: ...

    @abstractmethod
    def n_parameters(self) -> int: ...

    @abstractmethod
    def flops(self, length: int) -> int:
        """Forward FLOPs of one sequence of `length` tokens."""

    def active_parameters(self) -> int:
        """Of all parameters those that one token meets."""
        return self.n_parameters()

    def parameters_read(self, tokens: int) -> float:
        """Parameters that a step over so many tokens is expected to read."""
        return self.n_parameters()

    @property
    def inner_width(self) -> int:
        """Numbers of one token inside the network, where memory is estimated."""
        return self.d_ff
