"""Codes that are trained by their gradient: loss = |stop(x) - c|^2 + commitment |x - stop(c)|^2, means over numbers."""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.layers.parameters import parameter
from paribus.quantizers.base import Quantised, Quantizer, QuantizerConfig
from paribus.quantizers.nearest import look_up, nearest


class VQ(Quantizer):
    class Config(QuantizerConfig):
        source: ClassVar[str] = "van den Oord et al., Neural Discrete Representation Learning, arXiv:1711.00937"
        commitment: float = 0.25

        def check(self) -> None:
            super().check()
            require(self.commitment >= 0, f"commitment = {self.commitment}: expected 0 or more")

        def build(self) -> "VQ":
            return VQ(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codes = parameter((config.groups, config.n_codes, config.d), std=1.0)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Quantised:
        which = nearest(x, self.codes)
        code = look_up(self.codes, which)
        pulled = self.readers.distance(code, x.detach().to(code.dtype), visible)
        committed = self.readers.distance(x.to(code.dtype), code.detach(), visible)
        vectors = x + (code.detach().to(x.dtype) - x.detach())
        return Quantised(vectors, which, pulled + self.config.commitment * committed)


VQ.Config.examples = (VQ.Config(n_codes=7, width=3, groups=2),)
