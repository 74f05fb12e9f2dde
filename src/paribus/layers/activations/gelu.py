"""x Phi(x), Phi the normal distribution function; on a CPU torch computes its tanh form more slowly."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.layers.activations.base import Activation


class GELU(Activation):
    source: ClassVar[str] = "Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv:1606.08415"
    revision: ClassVar[int] = 2  # 1 was the tanh form, off by up to 5e-4

    def __call__(self, x: Tensor) -> Tensor:
        return F.gelu(x)


GELU.examples = (GELU(),)
