"""phi(x) = max(x, 0). A query without a common feature with any key reads nothing."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.features.base import FeatureMap


class Relu(FeatureMap):
    source: ClassVar[str] = (
        "Qin et al., cosFormer: Rethinking Softmax in Attention, arXiv:2202.08791, without the cosine"
    )

    def __call__(self, x: Tensor) -> Tensor:
        return x.relu()


Relu.examples = (Relu(),)
