"""max(x, 0)^2."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.layers.activations.base import Activation


class SquaredReLU(Activation):
    source: ClassVar[str] = "So et al., Primer: Searching for Efficient Transformers, arXiv:2109.08668"

    def __call__(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


SquaredReLU.examples = (SquaredReLU(),)
