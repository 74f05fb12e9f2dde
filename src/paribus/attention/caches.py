"""What decoding remembers: keys and values, with room reserved once.

The type of a cache says how its keys are stored, and each cache belongs to one position code, since keys that one has
turned mean nothing to another: bases are never mixed. Reading it with another code is an error. Here are

    RotatedKeys   keys as one rotation turns them: plain RoPE and all rewrites of its frequencies
    RawKeys       keys as they are: positions that turn a key differently as the text grows

and beside this file those of relative-position maps: MappedKeys and SinkKeys.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.positions.base import Position


class KeyValueCache:
    """Keys and values (batch, kv_heads, capacity, head_dim); `length` are in use.

    positions (batch, capacity), of those keys, where the position code asks for them; else None.
    """

    rotated: ClassVar[bool] = False

    def __init__(
        self,
        batch: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        position: Position | None = None,
    ) -> None:
        self.keys = torch.zeros(batch, kv_heads, capacity, head_dim, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.positions: Tensor | None = None
        if position is None or position.reads_key_positions:
            self.positions = torch.zeros(batch, capacity, dtype=torch.int64, device=device)
        self.length = 0
        self.position = position  # whose keys these are; None: not said

    def belongs_to(self, position: Position) -> None:
        """Raise InputError unless keys are stored as this position code stores them."""
        if self.position is not None and self.position != position:
            raise InputError(
                f"this {type(self).__name__} cache holds keys of {self.position}, and {position} is to read them: "
                "start a cache with this layer"
            )

    @property
    def batch(self) -> int:
        return len(self.keys)

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    def room_for(self, n: int) -> int:
        """The length after n more tokens, or InputError."""
        end = self.length + n
        if end > self.capacity:
            raise InputError(
                f"the cache has room for {self.capacity} tokens, {end} are asked for: "
                "start it with a larger capacity, or give a shorter prompt"
            )
        return end

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store the next tokens and return everything stored, as views."""
        end = self.room_for(keys.shape[2])
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        at = None
        if self.positions is not None:
            self.positions[:, self.length : end] = positions
            at = self.positions[:, :end]
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end], at

    def nbytes(self) -> int:
        """Bytes that are in use."""
        one = self.keys[:, :, : self.length]
        return 2 * one.numel() * one.element_size() + bytes_of_positions(self.positions, self.length)


def bytes_of_positions(positions: Tensor | None, length: int) -> int:
    """Of a cache's table of positions (batch, capacity), where it has one, the bytes of its first `length`."""
    return 0 if positions is None else positions[:, :length].numel() * positions.element_size()


class RotatedKeys(KeyValueCache):
    rotated = True


class RawKeys(KeyValueCache):
    pass
