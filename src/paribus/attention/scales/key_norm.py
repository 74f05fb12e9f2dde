"""Scores <q, k/|k|>: a key can no longer be favoured by its length, so angles must be trained.

No 1/sqrt(d) and no gain: at the start |q| and |k| are about sqrt(d), so the logits agree with <q, k>/sqrt(d). Part of
training: a model trained without it must not be read with it.
"""

from typing import ClassVar

from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.attention.scales.unit import unit


class KeyNorm(Scale):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：15、Key归一化助力长度外推, 2023-11-20, kexue.fm/archives/9859"
    changes_keys: ClassVar[bool] = True

    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        return q, unit(k), 1.0


KeyNorm.examples = (KeyNorm(),)
