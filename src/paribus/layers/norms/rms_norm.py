"""y = g * x / sqrt(mean(x^2) + eps)."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.norms.base import NormConfig
from paribus.layers.parameters import parameter
from paribus.layers.width import width


class RMSNorm(nn.Module):
    class Config(NormConfig):
        source: ClassVar[str] = "Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv:1910.07467"

        def build(self) -> "RMSNorm":
            return RMSNorm(self)

        def n_parameters(self) -> int:
            return width(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.eps = config.eps
        self.gain = parameter((width(config),), std=0.0, mean=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gain.shape, self.gain, self.eps)


RMSNorm.Config.examples = (RMSNorm.Config(d_model=12),)
