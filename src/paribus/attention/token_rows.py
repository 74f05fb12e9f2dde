"""What decoding remembers where one token leaves one row of numbers: a latent, or a key beside a wider value."""

import torch
from torch import Tensor

from paribus.attention.caches import bytes_of_positions
from paribus.core.errors import InputError


class TokenRows:
    """Rows (batch, capacity, width), room reserved once; `length` are in use.

    positions (batch, capacity) of the rows, where `placed`; else None.
    """

    def __init__(
        self, batch: int, capacity: int, width: int, dtype: torch.dtype, device: torch.device, placed: bool
    ) -> None:
        self.rows = torch.zeros(batch, capacity, width, dtype=dtype, device=device)
        self.positions = torch.zeros(batch, capacity, dtype=torch.int64, device=device) if placed else None
        self.length = 0

    @property
    def batch(self) -> int:
        return len(self.rows)

    @property
    def capacity(self) -> int:
        return self.rows.shape[1]

    def append(self, rows: Tensor, positions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Store the next tokens and return everything stored, as views."""
        end = self.length + rows.shape[1]
        if end > self.capacity:
            raise InputError(
                f"the cache has room for {self.capacity} tokens, {end} are asked for: "
                "start it with a larger capacity, or give a shorter prompt"
            )
        self.rows[:, self.length : end] = rows
        at = None
        if self.positions is not None:
            self.positions[:, self.length : end] = positions
            at = self.positions[:, :end]
        self.length = end
        return self.rows[:, :end], at

    def nbytes(self) -> int:
        """Bytes that are in use."""
        rows = self.rows[:, : self.length]
        return rows.numel() * rows.element_size() + bytes_of_positions(self.positions, self.length)
