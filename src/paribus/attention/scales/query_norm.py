"""Scores <q/|q|, k>: the control of KeyNorm; the length of q only sets sharpness.

No 1/sqrt(d) and no gain: at the start |q| and |k| are about sqrt(d), so the logits agree with <q, k>/sqrt(d). Part of
training: a model trained without it must not be read with it.
"""

from typing import ClassVar

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.attention.scales.unit import unit


class QueryNorm(Scale):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：15、Key归一化助力长度外推, 2023-11-20, kexue.fm/archives/9859"

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return unit(q), k, 1.0


QueryNorm.examples = (QueryNorm(),)
