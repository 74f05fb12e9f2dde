"""phi(x) = elu(x) + 1: exp(x) where x < 0, x + 1 elsewhere. Never zero, and its gradient never dies."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.attention.features.base import FeatureMap


class EluPlusOne(FeatureMap):
    source: ClassVar[str] = "Katharopoulos et al., Transformers are RNNs, arXiv:2006.16236"

    def __call__(self, x: Tensor) -> Tensor:
        return F.elu(x) + 1


EluPlusOne.examples = (EluPlusOne(),)
