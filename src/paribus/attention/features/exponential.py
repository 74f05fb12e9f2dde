"""phi(x) = exp(x), coordinate by coordinate. Inputs above 40 overflow float32 products: keep keys of moderate size."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.features.base import FeatureMap
from paribus.ops.precision import widened


class Exponential(FeatureMap):
    source: ClassVar[str] = (
        "苏剑林, 线性Attention的探索：Attention必须有个Softmax吗？, 2020-07-04, kexue.fm/archives/7546"
    )

    def __call__(self, x: Tensor) -> Tensor:
        return widened(x).exp().to(x.dtype)


Exponential.examples = (Exponential(),)
