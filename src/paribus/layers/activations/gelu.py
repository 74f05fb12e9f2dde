"""x Phi(x), Phi the normal distribution function; here by its tanh form, off by at most 5e-4."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.layers.activations.base import Activation


class GELU(Activation):
    source: ClassVar[str] = "Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv:1606.08415"

    def __call__(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")


GELU.examples = (GELU(),)
