"""The tokens of the input see each other, the rest is causal; which tokens are the input comes with each call.

A call names the input by its mask, `Prefix(length=...)`, alone or in an `&` with others; then this mask is what the
call shows. In a call that names none it is the causal mask, so that nothing leaks where an input was forgotten, and a
model that has read its prompt as an input goes on token by token.
"""

from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.base import Mask


class InputPrefix(Mask):
    source: ClassVar[str] = "Dong et al., Unified Language Model Pre-training, arXiv:1905.03197"

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx >= kv_idx

    @property
    def causal(self) -> bool:
        return True

    @property
    def reads_input(self) -> bool:
        return True

    def within(self, shown: Mask | None) -> Mask:
        if shown is not None and shown.names_input:
            return shown
        return self if shown is None else self & shown


InputPrefix.examples = (InputPrefix(),)
