"""Masks made of masks: `a & b`, `a | b`, and different masks for different heads."""

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.core.config import require

FLEX = "Dong et al., Flex Attention: A Programming Model for Generating Optimized Attention Kernels, arXiv:2412.05496"


class And(Mask):
    """A key is seen when both masks show it."""

    source: ClassVar[str] = FLEX
    left: Mask
    right: Mask

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return self.left(b, h, q_idx, kv_idx) & self.right(b, h, q_idx, kv_idx)

    @property
    def causal(self) -> bool:
        return self.left.causal or self.right.causal

    @property
    def names_input(self) -> bool:
        return self.left.names_input or self.right.names_input

    @property
    def reads_input(self) -> bool:
        return self.left.reads_input or self.right.reads_input

    def within(self, shown: Mask | None) -> Mask:
        return And(left=self.left.within(shown), right=self.right.within(shown))

    def check_heads(self, n_heads: int) -> None:
        self.left.check_heads(n_heads)
        self.right.check_heads(n_heads)

    def check_size(self, batch: int, length: int) -> None:
        self.left.check_size(batch, length)
        self.right.check_size(batch, length)


class Or(Mask):
    """A key is seen when at least one mask shows it."""

    source: ClassVar[str] = FLEX
    left: Mask
    right: Mask

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return self.left(b, h, q_idx, kv_idx) | self.right(b, h, q_idx, kv_idx)

    @property
    def causal(self) -> bool:
        return self.left.causal and self.right.causal

    @property
    def reads_input(self) -> bool:
        return self.left.reads_input or self.right.reads_input

    def within(self, shown: Mask | None) -> Mask:
        return Or(left=self.left.within(shown), right=self.right.within(shown))

    def check_heads(self, n_heads: int) -> None:
        self.left.check_heads(n_heads)
        self.right.check_heads(n_heads)

    def check_size(self, batch: int, length: int) -> None:
        self.left.check_size(batch, length)
        self.right.check_size(batch, length)


class PerHead(Mask):
    """Equal groups of heads, each with its own mask: (Causal(), Anticausal()) is half forward, half backward."""

    source: ClassVar[str] = "苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529"
    masks: tuple[Mask, ...]
    n_heads: int  # of the layer that uses it, a multiple of the number of masks

    def check(self) -> None:
        require(len(self.masks) >= 1, "PerHead needs at least one mask")
        require(
            self.n_heads % len(self.masks) == 0,
            f"n_heads = {self.n_heads} cannot be shared equally by {len(self.masks)} masks: use a multiple",
        )

    @property
    def reads_input(self) -> bool:
        return any(mask.reads_input for mask in self.masks)

    def within(self, shown: Mask | None) -> Mask:
        return replace(self, masks=tuple(mask.within(shown) for mask in self.masks))

    def check_heads(self, n_heads: int) -> None:
        require(n_heads == self.n_heads, f"PerHead was made for {self.n_heads} heads, the layer has {n_heads}")

    def check_size(self, batch: int, length: int) -> None:
        for mask in self.masks:
            mask.check_size(batch, length)

    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        group = h // (self.n_heads // len(self.masks))
        seen = self.masks[0](b, h, q_idx, kv_idx) & (group == 0)
        for index, mask in enumerate(self.masks[1:], start=1):
            seen = seen | (mask(b, h, q_idx, kv_idx) & (group == index))
        return seen

    @property
    def causal(self) -> bool:
        return all(mask.causal for mask in self.masks)


And.examples = (And(left=Causal(), right=SlidingWindow(window=2)),)
Or.examples = (Or(left=Causal(), right=SlidingWindow(window=2)),)
PerHead.examples = (PerHead(masks=(Causal(), Anticausal()), n_heads=4),)
