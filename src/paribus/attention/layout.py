"""Masks that a fast program can serve without an n x n table: causal, at most with a window and padding on the left."""

from typing import NamedTuple

import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import And
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible


class Layout(NamedTuple):
    """What a causal query sees: the last `window` keys (None: all before it), and of these the valid ones."""

    window: int | None = None
    valid: Tensor | None = None  # (batch, n_keys or more), False then True in each row; None: no padding

    def padding(self, batch: int) -> list[int]:
        """How many keys on the left of each sequence are padding."""
        if self.valid is None:
            return [0] * batch
        return [int(n) for n in (~self.valid).sum(dim=1).tolist()]

    def n_keys(self, q_indices: Tensor, n_keys: int) -> Tensor:
        """How many keys each query sees: (batch or 1, 1, n_queries)."""
        # A running count of the valid keys, with a 0 before the first.
        total = torch.arange(n_keys + 1, device=q_indices.device)[None]
        if self.valid is not None:
            total = torch.nn.functional.pad(self.valid[:, :n_keys].to(q_indices.device).cumsum(dim=1), (1, 0))
        since = q_indices.new_zeros(()) if self.window is None else (q_indices + 1 - self.window).clamp(min=0)
        return (total[:, q_indices + 1] - total[:, since.expand_as(q_indices)])[:, None]


def layout(mask: Mask) -> Layout | None:
    """The layout of a mask, or None where it is no such mask."""
    causal, found, shown = False, Layout(), None
    for part in _parts(mask):
        if isinstance(part, Causal):
            causal = True
        elif isinstance(part, SlidingWindow):
            found = found._replace(window=min(part.window, found.window or part.window))
        elif isinstance(part, Visible) and shown in (None, part):  # the same padding may be said for each of two masks
            shown, valid = part, torch.as_tensor(part.valid, dtype=torch.bool)
            if (valid[:, 1:] < valid[:, :-1]).any():  # padding inside or on the right
                return None
            found = found._replace(valid=valid)
        else:
            return None
    return found if causal else None


def _parts(mask: Mask) -> list[Mask]:
    return [*_parts(mask.left), *_parts(mask.right)] if isinstance(mask, And) else [mask]
