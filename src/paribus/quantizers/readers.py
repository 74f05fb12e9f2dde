"""Who reads a batch: one process, or several of which number r reads the rows r, r + world, r + 2 world, ...

What a quantizer takes from a batch (sums of vectors, means, vectors to restart codes at) it takes from the whole batch
whoever reads it, so that the number of processes changes the order of sums and nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def _alone(tensor: Tensor) -> Tensor:
    return tensor


class Readers(NamedTuple):
    number: int = 0  # of this process
    world: int = 1
    summed: Callable[[Tensor], Tensor] = _alone  # a tensor of equal shape on every process -> the sum over all

    def distance(self, x: Tensor, y: Tensor, visible: Tensor | None) -> Tensor:
        """The mean square of x - y over the visible vectors of the whole batch; 0 where none is.

        x, y (batch, groups, length, width), visible (batch, 1 or groups, length) or None for all. Of several processes
        each gets its part times `world`, so that the mean over the processes is the mean square.
        """
        if visible is None and self.world == 1 and x.numel() > 0:
            return F.mse_loss(x, y)
        square = (x - y).square()
        numbers = square.new_tensor(square.numel())
        if visible is not None:
            square = square.where(visible.unsqueeze(-1), 0.0)
            numbers = (visible.expand(x.shape[:-1]).sum() * x.shape[-1]).to(square.dtype)
        return square.sum() * self.world / self.summed(numbers).clamp_min(1)

    def evenly(self, x: Tensor, visible: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """n of the visible vectors of the whole batch at even distances in reading order, and which of them there are.

        x (batch, groups, length, width) -> (groups, n, width), bool (groups, n): False where nothing is visible. Of m
        vectors number i m // n is taken.
        """
        batch, groups, length, width = x.shape
        vectors = x.transpose(0, 1).flatten(1, 2)
        if visible is None and self.world == 1:
            m = batch * length
            places = torch.arange(n, device=x.device) * m // n
            return vectors[:, places], torch.ones(groups, n, dtype=torch.bool, device=x.device)
        seen = x.new_ones(x.shape[:-1], dtype=torch.bool) if visible is None else visible.expand(x.shape[:-1])
        rows = int(self.summed(torch.tensor(float(batch), device=x.device)))
        most = -(-rows // self.world)  # rows of one process; those that a process lacks hold nothing
        held = torch.zeros(most, self.world, groups, dtype=torch.float64, device=x.device)
        held[:batch, self.number] = seen.sum(-1).double()
        held = self.summed(held).flatten(0, 1)
        before = (held.cumsum(0) - held).unflatten(0, (most, self.world))[:batch, self.number]  # (batch, groups)
        number = (before.unsqueeze(-1) + seen.cumsum(-1)).transpose(0, 1).flatten(1)  # counted from 1, never falling
        wanted = (torch.arange(n, device=x.device)[None] * held.sum(0).long()[:, None] // n + 1).double()
        place = torch.searchsorted(number, wanted).clamp_max(max(0, number.shape[1] - 1))
        mine = (number.gather(1, place) == wanted) & seen.transpose(0, 1).flatten(1).gather(1, place)
        taken = vectors.gather(1, place.unsqueeze(-1).expand(-1, -1, width)).where(mine.unsqueeze(-1), 0.0)
        return self.summed(taken), (held.sum(0) > 0)[:, None].expand(-1, n)
