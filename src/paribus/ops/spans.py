"""Sets of pairs as one stretch of keys for each query: what the native kernel of attention takes (ops/kernels)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from paribus.ops.tiles import Tile

KEPT = 64  # spans of the last few calls: all layers of a model ask for the same
LONG = 2**15  # rows from which they are made anew: their memory is worth more than their time


@dataclass(frozen=True, eq=False)
class Spans:
    """Row i sees the keys low_i <= j < high_i, none where they are equal; low and high (rows,) int64, never changed."""

    low: Tensor
    high: Tensor
    rows: tuple[int, int] = field(init=False)  # outside of these no row sees a key, and
    keys: tuple[int, int] = field(init=False)  # outside of these no key is seen; (0, 0): none at all

    def __post_init__(self) -> None:
        assert self.low.dtype == self.high.dtype == torch.int64
        assert self.low.is_cpu
        assert self.high.is_cpu
        assert self.low.shape == self.high.shape == (len(self.low),)
        assert self.low.is_contiguous()
        assert self.high.is_contiguous()
        seeing = torch.nonzero(self.low < self.high)[:, 0]
        rows = keys = (0, 0)
        if len(seeing) > 0:
            rows = int(seeing[0]), int(seeing[-1]) + 1
            keys = int(self.low[seeing].min()), int(self.high[seeing].max())
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "keys", keys)

    @property
    def empty(self) -> bool:
        return self.rows == (0, 0)


def row_spans(tiles: Sequence[Tile], rows: int) -> Spans | None:
    """The columns that each row sees in these tiles, no pair being in two; None where they are no single stretch."""
    return (_row_spans if rows < LONG else _row_spans.__wrapped__)(tuple(tiles), rows)


@lru_cache(maxsize=KEPT)
def _row_spans(tiles: tuple[Tile, ...], rows: int) -> Spans | None:
    # In the memory of this process, whatever device tensors are made on by default.
    with torch.device("cpu"):
        return _made(tiles, rows)


def _made(tiles: tuple[Tile, ...], rows: int) -> Spans | None:
    low, high = torch.full((rows,), torch.iinfo(torch.int64).max), torch.zeros(rows, dtype=torch.int64)
    seen = torch.zeros(rows, dtype=torch.int64)
    for tile in tiles:
        shift = tile.step * torch.arange(tile.count)[:, None]
        row, first, last = (x.flatten() for x in _of_tile(tile, shift))
        sees = first < last
        low[row] = torch.where(sees, torch.minimum(low[row], first), low[row])
        high[row] = torch.where(sees, torch.maximum(high[row], last), high[row])
        seen[row] += torch.where(sees, last - first, 0)
    low = torch.where(seen > 0, low, 0)
    return Spans(low, high) if torch.equal(high - low, seen) else None


def _of_tile(tile: Tile, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, first columns and ends of the columns of a tile at these shifts (count, 1): `Tile.seen` for all of them."""
    row, more = torch.arange(tile.rows), tile.rows - tile.columns
    first, last = torch.zeros_like(row), torch.full_like(row, tile.columns)
    if tile.kind == "lower":
        last = (row + 1).clamp(max=tile.columns)
    elif tile.kind == "upper":
        first = (row - more).clamp(min=0)
    elif tile.kind == "window":
        first, last = row, row - more + 1
    return tile.row + shift + row, tile.column + shift + first, tile.column + shift + last
