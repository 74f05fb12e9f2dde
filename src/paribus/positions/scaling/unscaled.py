"""theta'_i = theta_i."""

from typing import ClassVar

from torch import Tensor

from paribus.positions.scaling.base import Scaling


class Unscaled(Scaling):
    source: ClassVar[str] = "Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864"

    def __call__(self, frequencies: Tensor) -> Tensor:
        return frequencies


Unscaled.examples = (Unscaled(),)
