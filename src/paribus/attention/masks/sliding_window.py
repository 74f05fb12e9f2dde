"""A query sees keys less than `window` away: |q - kv| < window. With Causal() & it: itself and window - 1 before."""

from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.core.config import require


class SlidingWindow(Mask):
    source: ClassVar[str] = "Beltagy, Peters and Cohan, Longformer, arXiv:2004.05150"
    window: int

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1, so that a token sees itself")

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return (q_idx - kv_idx).abs() < self.window

    @property
    def causal(self) -> bool:
        return self.window == 1


SlidingWindow.examples = (SlidingWindow(window=1), SlidingWindow(window=3))
