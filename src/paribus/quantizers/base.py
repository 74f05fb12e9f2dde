"""Contract of the family: a module x -> (vectors, codes, loss), every vector replaced by a code of its group.

    vectors = x + stop_gradient(code - x)    the code in value, x in gradient ("straight through")

x is (batch, groups, length, width), and each group has codes of its own. Vectors that are not visible get a code, and
count neither in the loss nor in what moves the codes.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from paribus.core.config import Part, require
from paribus.quantizers.readers import Readers


class Quantised(NamedTuple):
    vectors: Tensor  # like x: codes in value, x in gradient
    codes: Tensor  # int64 (batch, groups, length), in [0, n_codes)
    loss: Tensor  # what training adds to its loss to keep x and codes together; a number


class QuantizerConfig(Part, ABC):
    n_codes: int
    width: int | None = None  # numbers of a vector; None: of the layer that holds it
    groups: int = 1

    def check(self) -> None:
        require(self.n_codes >= 1, f"n_codes = {self.n_codes}: expected at least 1")
        require(self.width is None or self.width >= 1, f"width = {self.width}: expected at least 1")
        require(self.groups >= 1, f"groups = {self.groups}: expected at least 1")

    @property
    def d(self) -> int:
        """The width of a config that is about to be built or priced."""
        require(self.width is not None, f"{type(self).__qualname__} has no width: give one, or put it into a layer")
        assert self.width is not None
        return self.width

    @abstractmethod
    def build(self) -> "Quantizer": ...

    def n_parameters(self) -> int:
        return self.groups * self.n_codes * self.d

    def flops(self, length: int) -> int:
        """Products of every vector with every code of its group."""
        return 2 * length * self.n_parameters()


class Quantizer(nn.Module, ABC):
    codes: nn.Parameter  # (groups, n_codes, width)
    readers = Readers()  # of several processes each sets its own

    @abstractmethod
    def forward(self, x: Tensor, visible: Tensor | None = None) -> Quantised:
        """visible: bool (batch, 1 or groups, length), False for padding; None: all are."""
