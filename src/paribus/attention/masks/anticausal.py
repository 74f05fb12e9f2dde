"""A query sees itself and later keys: kv >= q."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.base import Mask


class Anticausal(Mask):
    source: ClassVar[str] = "苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529"

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx <= kv_idx

    @property
    def causal(self) -> bool:
        return False


Anticausal.examples = (Anticausal(),)
