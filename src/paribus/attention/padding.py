"""Masks that hide keys from all queries alike: what attention without a table of pairs can still honour."""

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.attention.masks.visible import Visible
from paribus.core.errors import InputError


def hides_keys_only(mask: Mask | None) -> bool:
    return mask is None or isinstance(mask, Visible)


def valid_keys(mask: Mask | None, batch: int, n_before: int, n: int, device: torch.device) -> Tensor | None:
    """Boolean (batch, n): which of the next n tokens are no padding; None when all are.

    Raises InputError for a mask that hides a key from some queries only: it needs every pair.
    """
    if mask is None:
        return None
    if not isinstance(mask, Visible):
        raise InputError(
            f"{type(mask).__name__} hides a key from some queries and not from others, which a state that sums over "
            "keys cannot follow: read each document with a state of its own, or the whole sequence by forward()"
        )
    mask.check_size(batch, n_before + n)
    return torch.as_tensor(mask.valid, dtype=torch.bool, device=device)[:, n_before : n_before + n]


def tokens_first(valid: Tensor) -> Tensor:
    """The order of places (batch, n) in which a sequence's tokens come first, as they stand, then its padding."""
    return (~valid).to(torch.uint8).argsort(dim=1, stable=True)


def taken(x: Tensor, order: Tensor) -> Tensor:
    """x (batch, n, d) with its places in this order (batch, n)."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[-1]))


def put_back(y: Tensor, order: Tensor) -> Tensor:
    """Undo `taken`."""
    return taken(y, order.argsort(dim=1))
