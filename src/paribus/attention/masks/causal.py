"""A query sees itself and earlier keys: kv <= q."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.base import Mask


class Causal(Mask):
    source: ClassVar[str] = "Liu et al., Generating Wikipedia by Summarizing Long Sequences, arXiv:1801.10198"

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx >= kv_idx

    @property
    def causal(self) -> bool:
        return True


Causal.examples = (Causal(),)
