"""x / (1 + exp(-x))."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.layers.activations.base import Activation


class SiLU(Activation):
    source: ClassVar[str] = "Elfwing, Uchibe and Doya, Sigmoid-weighted linear units, arXiv:1702.03118"

    def __call__(self, x: Tensor) -> Tensor:
        return F.silu(x)


SiLU.examples = (SiLU(),)
