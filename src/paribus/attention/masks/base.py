"""Contract of the family: mask(b, h, q_idx, kv_idx) -> bool tensor, True = may see; combined with & and |.

Indices are places in the sequence, counted from its first token, also when a cache holds the earlier ones. The
signature is FlexAttention's `mask_mod`, so that one mask serves the dense reference and fused kernels.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from paribus.core.config import Part, require


class Mask(Part, ABC):
    @abstractmethod
    def __call__(self, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor: ...

    @property
    @abstractmethod
    def causal(self) -> bool:
        """True when no query sees a later key."""

    def __and__(self, other: "Mask") -> "Mask":
        from paribus.attention.masks.combine import And

        return And(left=self, right=other)

    def __or__(self, other: "Mask") -> "Mask":
        from paribus.attention.masks.combine import Or

        return Or(left=self, right=other)

    @property
    def names_input(self) -> bool:
        """True when it says which tokens are the input, as Prefix does."""
        return False

    @property
    def reads_input(self) -> bool:
        """True when it shows more where a call names the input, as InputPrefix does."""
        return False

    def within(self, shown: "Mask | None") -> "Mask":
        """This mask of a layer in a call that shows only `shown` (padding, documents, an input)."""
        return self if shown is None else self & shown

    def check_heads(self, n_heads: int) -> None:
        """Raise ConfigError when the mask cannot serve that many heads."""

    def check_size(self, batch: int, length: int) -> None:
        """Raise ConfigError when the mask was made for another batch or for a shorter sequence."""

    def dense(self, batch: int, heads: int, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        """Boolean (batch or 1, heads or 1, n_queries, n_keys), for attention scores to broadcast with."""
        self.check_size(batch, len(kv_idx))
        device = q_idx.device
        b = torch.arange(batch, device=device)[:, None, None, None]
        h = torch.arange(heads, device=device)[None, :, None, None]
        seen = self(b, h, q_idx[None, None, :, None], kv_idx[None, None, None, :])
        return seen.expand(*seen.shape[:2], len(q_idx), len(kv_idx))


def check_tokens(words: str, table: "tuple[tuple[int, ...], ...] | Tensor", batch: int, length: int) -> None:
    """Raise ConfigError unless the table (batch, length) names every token of every sequence."""
    shape = tuple(table.shape) if isinstance(table, Tensor) else (len(table), min(map(len, table), default=0))
    require(
        len(shape) == 2 and shape[0] == batch and shape[1] >= length,
        f"{words} of shape {shape} for {batch} sequences of {length} tokens: "
        "give one row a sequence and one entry a token",
    )
