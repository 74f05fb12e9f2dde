"""One tensor of a checkpoint and those of ours that it holds: how to take it apart, and how to put it together."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.convert import convert


class Packed(NamedTuple):
    theirs: str
    ours: tuple[str, ...]
    unpack: Callable[[Tensor], tuple[Tensor, ...]]
    pack: Callable[..., Tensor]


def same(theirs: str, ours: str) -> Packed:
    """The same tensor under another name."""
    return Packed(theirs, (ours,), lambda tensor: (tensor,), lambda tensor: tensor)


def turned(
    theirs: str, ours: str, n_heads: int, stored: Pairing, pairing: Pairing, rope_dim: int | None = None
) -> Packed:
    """A projection onto heads whose rotary pairs are stored in another order.

    rope_dim: how many rows at the end of each head are turned; None: all of them.
    """

    def moved(weight: Tensor, before: Pairing, after: Pairing) -> Tensor:
        if before == after:
            return weight
        if rope_dim is None:
            return convert(weight, n_heads, before, after)
        heads = weight.unflatten(0, (n_heads, -1)).clone()
        heads[:, -rope_dim:] = convert(heads[:, -rope_dim:].flatten(0, 1), n_heads, before, after).unflatten(
            0, (n_heads, -1)
        )
        return heads.flatten(0, 1)

    return Packed(
        theirs, (ours,), lambda weight: (moved(weight, stored, pairing),), lambda weight: moved(weight, pairing, stored)
    )
