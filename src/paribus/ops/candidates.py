"""Which entries of a long row can carry weight, without sorting it.

The weights of a sparse normalizer solve sum_i f(x_i - c) = 1 with f increasing. Fewer terms give a smaller sum, so
the solution over any subset of a row is a lower bound of c: the maxima of the row's blocks, read in one pass, give a
bound so tight that little more than the support survives it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Candidates(NamedTuple):
    """The surviving entries of each row, moved to the left and padded to the same number."""

    columns: Tensor  # (rows, most) int64; 0 where padded
    depths: Tensor  # (rows, most): row maximum minus entry, >= 0; infinite where padded


def block_width(n: int) -> int:
    """Entries per block, as measured on a CPU; 1 where a row is too short for blocks to pay."""
    if n >= 8192:
        return 64
    return 32 if n >= 1024 else 8 if n >= 64 else 1


def block_maxima(x: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """x (rows, n) as whole blocks (rows, blocks, width), filled with -inf, and the maxima (rows, blocks)."""
    if missing := -x.shape[1] % width:
        x = F.pad(x, (0, missing), value=-torch.inf)
    blocks = x.view(x.shape[0], -1, width)
    return blocks, blocks.amax(-1)


def gather(blocks: Tensor, maxima: Tensor, top: Tensor, floor: Tensor) -> Candidates:
    """The entries above `floor` (rows, 1), as depths below `top` (rows, 1), reading only the blocks that hold one."""
    rows, per_row, width = blocks.shape
    if width == 1:
        found = (maxima > floor).nonzero()
        row, column = found[:, 0], found[:, 1]
        values = maxima[row, column]
    else:
        hit = (maxima > floor).view(-1).nonzero()[:, 0]
        read = blocks.view(-1, width).index_select(0, hit)
        hit_row = hit // per_row
        inside = (read > floor.view(-1).index_select(0, hit_row)[:, None]).view(-1).nonzero()[:, 0]
        block = hit.index_select(0, inside // width)
        row = block // per_row
        column = (block - row * per_row) * width + inside % width
        values = read.view(-1).index_select(0, inside)
    counts = torch.bincount(row, minlength=rows)
    most = int(counts.max())
    place = torch.arange(len(row), device=row.device) + (
        torch.arange(rows, device=row.device) * most - (counts.cumsum(0) - counts)
    ).index_select(0, row)
    columns = torch.zeros(rows * most, dtype=torch.int64, device=row.device)
    depths = blocks.new_full((rows * most,), torch.inf)
    columns[place] = column
    depths[place] = top.view(-1).index_select(0, row) - values
    return Candidates(columns.view(rows, most), depths.view(rows, most))
