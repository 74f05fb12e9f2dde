"""Every query sees every key."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.base import Mask


class Bidirectional(Mask):
    source: ClassVar[str] = "Devlin et al., BERT, arXiv:1810.04805"

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return (q_idx >= kv_idx) | (q_idx < kv_idx)

    @property
    def causal(self) -> bool:
        return False


Bidirectional.examples = (Bidirectional(),)
