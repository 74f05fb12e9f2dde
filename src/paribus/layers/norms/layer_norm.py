"""y = g * (x - mean(x)) / sqrt(var(x) + eps) + b."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.norms.base import NormConfig
from paribus.layers.parameters import parameter
from paribus.layers.width import width


class LayerNorm(nn.Module):
    class Config(NormConfig):
        source: ClassVar[str] = "Ba, Kiros and Hinton, Layer Normalization, arXiv:1607.06450"
        bias: bool = False

        def build(self) -> "LayerNorm":
            return LayerNorm(self)

        def n_parameters(self) -> int:
            return width(self) * (1 + self.bias)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.eps = config.eps
        self.gain = parameter((width(config),), std=0.0, mean=1.0)
        self.bias = parameter((width(config),), std=0.0) if config.bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, self.eps)


LayerNorm.Config.examples = (LayerNorm.Config(d_model=12), LayerNorm.Config(d_model=7, bias=True))
