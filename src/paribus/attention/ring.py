"""A ring of the last vectors: that of token i lies in slot i mod its size.

Tensors are (batch, heads, tokens, width); the ring has its slots in place of the tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def to_ring(ring: Tensor, x: Tensor, start: int, turn: Callable[[Tensor, slice], Tensor] | None = None) -> None:
    """Write the tokens start, start + 1, ... of x, the last ones that the ring has room for."""
    n, size = x.shape[2], ring.shape[2]
    if size == 0:
        return
    some = slice(max(0, n - size), n)
    slots = torch.arange(start + some.start, start + n, device=x.device) % size
    ring[:, :, slots] = x[:, :, some] if turn is None else turn(x[:, :, some], some)


def from_ring(ring: Tensor, low: int, high: int) -> list[Tensor]:
    """The tokens low .. high - 1 in order, as one or two views."""
    size, count = ring.shape[2], high - low
    first = low % size
    head = ring[:, :, first : first + count]
    return [head] if head.shape[2] == count else [head, ring[:, :, : count - head.shape[2]]]
