"""What decoding over quantised keys remembers: a constant size, whatever the length of the text."""

import torch
from torch import Tensor

from paribus.attention.caches import bytes_of_positions
from paribus.attention.vq_blocks import Far


class CodeTable:
    """mean, count: what is known of old tokens, by code; codes (-1: hidden), values: the tokens of the near blocks.

    positions (batch, room) of the near tokens, where `placed`; else None.
    """

    def __init__(
        self,
        batch: int,
        heads: int,
        n_codes: int,
        d_v: int,
        room: int,
        dtype: torch.dtype,
        device: torch.device,
        placed: bool,
    ) -> None:
        wide = torch.float32 if dtype.itemsize < 4 else dtype
        self.mean = torch.zeros(batch, heads, n_codes, d_v, dtype=wide, device=device)
        self.count = torch.zeros(batch, heads, n_codes, dtype=wide, device=device)
        self.codes = torch.zeros(batch, heads, room, dtype=torch.int32, device=device)
        self.values = torch.zeros(batch, heads, room, d_v, dtype=dtype, device=device)
        self.positions = torch.zeros(batch, room, dtype=torch.int64, device=device) if placed else None
        self.room, self.held, self.length = room, 0, 0

    @property
    def batch(self) -> int:
        return len(self.codes)

    @property
    def far(self) -> Far:
        return Far(self.mean.flatten(0, 1), self.count.flatten(0, 1))

    def add(self, which: Tensor, v: Tensor, positions: Tensor) -> None:
        """One token more that is near."""
        place = slice(self.held, self.held + 1)
        self.codes[:, :, place] = which
        self.values[:, :, place] = v
        if self.positions is not None:
            self.positions[:, place] = positions
        self.held, self.length = self.held + 1, self.length + 1

    def near(self, which: Tensor, v: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The tokens that are near, then the new ones."""
        n, at = self.held, None
        if self.positions is not None:
            at = torch.cat((self.positions[:, :n], positions.expand(len(which), -1)), dim=1)
        return (
            torch.cat((self.codes[:, :, :n].to(which.dtype), which), dim=2),
            torch.cat((self.values[:, :, :n], v), dim=2),
            at,
        )

    def keep(self, which: Tensor, v: Tensor, at: Tensor | None, far: Far, block: int, n_new: int) -> None:
        """Take over what a call has left: its table, and the tokens of the last whole block and after it."""
        n = which.shape[2]
        start = max(0, n // block - 1) * block
        self.held = n - start
        self.codes[:, :, : self.held] = which[:, :, start:]
        self.values[:, :, : self.held] = v[:, :, start:]
        if self.positions is not None and at is not None:
            self.positions[:, : self.held] = at[:, start:]
        self.mean.copy_(far.mean.view_as(self.mean))
        self.count.copy_(far.number.view_as(self.count))
        self.length += n_new

    def nbytes(self) -> int:
        """All of it is in use from the start."""
        tables = sum(x.numel() * x.element_size() for x in (self.mean, self.count, self.codes, self.values))
        return tables + bytes_of_positions(self.positions, self.room)
