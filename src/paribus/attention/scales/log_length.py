"""Scores (ln n / ln base) <q, k> / sqrt(d), n = number of keys that the query sees: entropy grows slower with n.

At n = base this is 1/sqrt(d) exactly. A query that sees one key has factor 0, which is harmless: one key takes all.
`at_least_one` clamps the factor to max(1, ln n / ln base): the post-hoc form for a model trained without it, with
base = trained length.
"""

import math
from typing import ClassVar

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.core.config import require


class LogLength(Scale):
    source: ClassVar[str] = "苏剑林, 从熵不变性看Attention的Scale操作, 2021-12-21, kexue.fm/archives/8823"
    counts_keys: ClassVar[bool] = True
    base: float = 512.0
    at_least_one: bool = False

    def check(self) -> None:
        require(self.base > 1, f"base = {self.base}: expected a length above 1, such as the trained length")

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        assert n_visible is not None
        # A fully masked query has n = 0; its row is zero whatever the factor is.
        factor = n_visible.clamp(min=1).double().log() / math.log(self.base)
        if self.at_least_one:
            factor = factor.clamp(min=1.0)
        return q * factor.to(q.dtype).unsqueeze(-1), k, q.shape[-1] ** -0.5


LogLength.examples = (LogLength(), LogLength(base=64.0, at_least_one=True))
