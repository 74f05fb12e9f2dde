"""What decoding remembers where one token leaves one row of numbers: a latent, or a key beside a wider value."""

import torch
from torch import Tensor

from paribus.core.errors import InputError


class TokenRows:
    """Rows (batch, capacity, width) and positions (batch, capacity), room reserved once; `length` are in use."""

    def __init__(self, batch: int, capacity: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.rows = torch.zeros(batch, capacity, width, dtype=dtype, device=device)
        self.positions = torch.zeros(batch, capacity, dtype=torch.int64, device=device)
        self.length = 0

    @property
    def batch(self) -> int:
        return len(self.rows)

    @property
    def capacity(self) -> int:
        return self.rows.shape[1]

    def append(self, rows: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Store the next tokens and return everything stored, as views."""
        end = self.length + rows.shape[1]
        if end > self.capacity:
            raise InputError(
                f"the cache has room for {self.capacity} tokens, {end} are asked for: "
                "start it with a larger capacity, or give a shorter prompt"
            )
        self.rows[:, self.length : end] = rows
        self.positions[:, self.length : end] = positions
        self.length = end
        return self.rows[:, :end], self.positions[:, :end]

    def nbytes(self) -> int:
        """Bytes of the rows that are in use, without the 8 bytes a token of `positions`."""
        return self.rows[:, : self.length].numel() * self.rows.element_size()
