"""KERPLE: a conditionally positive definite kernel of the distance, with two learned numbers r1, r2 > 0 a head.

    log    -r1 ln(1 + r2 |m - n|)
    power  -r1 |m - n|^r2, r2 < 2

All are exponentials of what is trained, but for r2 of the power form, which is twice a sigmoid.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from paribus.layers.parameters import parameter
from paribus.positions.learned import LearnedBias, LearnedBiasConfig


class Kerple(LearnedBias):
    class Config(LearnedBiasConfig):
        source: ClassVar[str] = "Chi et al., KERPLE: Kernelized Relative Positional Embedding, arXiv:2205.09921"
        kind: Literal["log", "power"] = "log"

        def build(self) -> "Kerple":
            return Kerple(self)

        def n_parameters(self) -> int:
            return 2 * self.n_heads

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.kind = config.kind
        # r1 about 1, r2 about 1/2, apart in the heads: near the middle of the ranges that the paper starts from.
        self.height = parameter((config.n_heads,), std=0.5, mean=0.0)
        self.rate = parameter((config.n_heads,), std=0.5, mean=math.log(0.5) if config.kind == "log" else -1.1)

    def of_distance(self, distance: Tensor) -> Tensor:
        away, height = distance.abs().to(self.height.dtype), self.height.exp()[:, None, None]
        rate = self.rate[:, None, None]
        if self.kind == "log":
            return -height * torch.log1p(rate.exp() * away)
        # 0^r2 has no finite derivative in r2 by way of ln 0; it is 0 whatever r2 is.
        raised = torch.exp(2 * torch.sigmoid(rate) * away.clamp(min=1).log())
        return -height * raised.where(away > 0, 0.0)


Kerple.Config.examples = (Kerple.Config(n_heads=4), Kerple.Config(n_heads=4, kind="power"))
