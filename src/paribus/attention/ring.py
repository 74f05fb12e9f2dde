"""A ring of the last vectors: that of token i lies in slot i mod its size.

Tensors are (batch, heads, tokens, width); the ring has its slots in place of the tokens.
"""

from torch import Tensor


def last(ring: Tensor, x: Tensor, dim: int = 2) -> Tensor:
    """The last tokens of x, as many as the ring has room for; x itself where it has room for all."""
    surplus = x.shape[dim] - ring.shape[2]
    return x if surplus <= 0 else x.narrow(dim, surplus, ring.shape[2])


def to_ring(ring: Tensor, x: Tensor, length: int) -> None:
    """Write x, of no more tokens than the ring has room for: the last ones of a text of this length."""
    n, size = x.shape[2], ring.shape[2]
    if n == 0:
        return
    first = (length - n) % size
    head = min(n, size - first)
    ring[:, :, first : first + head] = x[:, :, :head]
    if head < n:
        ring[:, :, : n - head] = x[:, :, head:]


def from_ring(ring: Tensor, low: int, high: int) -> list[Tensor]:
    """The tokens low .. high - 1 in order, as one or two views."""
    size, count = ring.shape[2], high - low
    first = low % size
    head = ring[:, :, first : first + count]
    return [head] if head.shape[2] == count else [head, ring[:, :, : count - head.shape[2]]]
