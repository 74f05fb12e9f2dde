"""What decoding remembers: keys and values, with room reserved once.

The type of a cache says how its keys are stored. Rotated keys serve rotations that one table describes; raw keys serve
relative-position maps, which rotate a key differently for near and far queries. Reading one as the other is an error.
"""

import torch
from torch import Tensor

from paribus.core.errors import InputError


class KeyValueCache:
    """Keys and values (batch, kv_heads, capacity, head_dim) and positions (batch, capacity); `length` are in use."""

    rotated: bool

    def __init__(
        self, batch: int, kv_heads: int, capacity: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = torch.zeros(batch, kv_heads, capacity, head_dim, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.positions = torch.zeros(batch, capacity, dtype=torch.int64, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store the next tokens and return everything stored, as views."""
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise InputError(
                f"the cache has room for {self.capacity} tokens, {end} are asked for: "
                "start it with a larger capacity, or give a shorter prompt"
            )
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.positions[:, self.length : end] = positions
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end], self.positions[:, :end]

    def nbytes(self) -> int:
        """Bytes of keys and values that are in use."""
        one = self.keys[:, :, : self.length]
        return 2 * one.numel() * one.element_size()


class RotatedKeys(KeyValueCache):
    rotated = True


class RawKeys(KeyValueCache):
    rotated = False
