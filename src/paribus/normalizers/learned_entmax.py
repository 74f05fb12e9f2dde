"""alpha-entmax with a learned alpha for each head: p_j = ((alpha_h - 1) s_j - tau)_+^(1/(alpha_h-1)).

alpha_h = 1.01 + 0.99 sigmoid(a_h),   a_h learned
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from paribus.core.config import require
from paribus.core.errors import ConfigError
from paribus.normalizers.base import Normalizer
from paribus.ops.entmax import entmax

LOW, SPAN = 1.01, 0.99  # alpha in (1.01, 2): at 1 the gradient in alpha is a quotient of zeros


class LearnedEntmax(nn.Module):
    class Config(Normalizer):
        """`build()` makes the module; scores are (..., n_heads, queries, keys), or of any shape when n_heads = 1."""

        source: ClassVar[str] = "Correia, Niculae and Martins, Adaptively Sparse Transformers, arXiv:1909.00015"
        n_heads: int = 1
        start: float = 1.5  # alpha before training

        def check(self) -> None:
            require(self.n_heads >= 1, f"n_heads = {self.n_heads}: expected at least 1")
            require(LOW < self.start < LOW + SPAN, f"start = {self.start}: expected {LOW} < start < {LOW + SPAN}")

        def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
            raise ConfigError("LearnedEntmax has a parameter: call config.build() once and use the module it returns")

        def build(self) -> "LearnedEntmax":
            return LearnedEntmax(self)

        def n_parameters(self) -> int:
            return self.n_heads

        def check_heads(self, n_heads: int) -> None:
            require(
                self.n_heads in (1, n_heads),
                f"LearnedEntmax was made for {self.n_heads} heads, the layer has {n_heads}: make the two equal, "
                "or give all heads one alpha with n_heads = 1",
            )

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        share = (config.start - LOW) / SPAN
        shape = (config.n_heads,) if config.n_heads > 1 else ()
        self.logit = nn.Parameter(torch.full(shape, math.log(share / (1 - share))))

    @property
    def alpha(self) -> Tensor:
        """(n_heads, 1, 1), or one number."""
        alpha = LOW + SPAN * torch.sigmoid(self.logit)
        return alpha[:, None, None] if alpha.ndim else alpha

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return entmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), self.alpha - 1)


LearnedEntmax.Config.examples = (LearnedEntmax.Config(), LearnedEntmax.Config(start=1.2))
