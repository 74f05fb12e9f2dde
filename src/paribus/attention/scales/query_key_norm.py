"""QK norm: RMSNorm with a learned gain over the head's coordinates, on queries and on keys; scores <q, k> / sqrt(d).

    q <- g_q * q / sqrt(mean(q^2) + eps),   k <- g_k * k / sqrt(mean(k^2) + eps)

The gains g_q and g_k (head_dim) are shared by the heads. Scores are bounded by sqrt(d) |g_q|_inf |g_k|_inf, which
keeps large learning rates stable. Against `KeyNorm` it forgets the query's length too, so no query can sharpen its own
weights, and the gains give a share of the sharpness back to all queries at once. With gains of 1 this is `Cosine` of
strength sqrt(d), up to eps.
"""

import math
from typing import ClassVar

from torch import Tensor, nn

from paribus.attention.scales.base import Scale
from paribus.core.config import require
from paribus.core.errors import ConfigError
from paribus.layers.norms.rms_norm import RMSNorm


class QueryKeyNorm(nn.Module):
    class Config(Scale):
        """`build(head_dim)` makes the module; applied before rotation, which does not commute with the gains."""

        source: ClassVar[str] = (
            "Henry et al., Query-Key Normalization for Transformers, arXiv:2010.04245; with a norm that has gains "
            "as in Dehghani et al., Scaling Vision Transformers to 22 Billion Parameters, arXiv:2302.05442"
        )
        changes_keys: ClassVar[bool] = True
        commutes: ClassVar[bool] = False
        eps: float = 1e-6

        def check(self) -> None:
            require(self.eps > 0, f"eps = {self.eps}: expected a positive number, such as 1e-6")

        def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
            raise ConfigError("QueryKeyNorm has gains: call config.build(head_dim) once and use the module it returns")

        def build(self, head_dim: int | None = None) -> "QueryKeyNorm":
            if head_dim is None:
                raise ConfigError("QueryKeyNorm has gains of the head's width: call config.build(head_dim)")
            return QueryKeyNorm(self, head_dim)

        def n_parameters(self, head_dim: int) -> int:
            return 2 * head_dim

    def __init__(self, config: Config, head_dim: int) -> None:
        super().__init__()
        self.config = config
        self.query = RMSNorm.Config(d_model=head_dim, eps=config.eps).build()
        self.key = RMSNorm.Config(d_model=head_dim, eps=config.eps).build()
        self.factor = 1 / math.sqrt(head_dim)

    def forward(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return self.query(q).to(q.dtype), self.key(k).to(k.dtype), self.factor


QueryKeyNorm.Config.examples = (QueryKeyNorm.Config(),)
