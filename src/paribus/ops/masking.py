"""Masked rows without NaN: what is hidden weighs exactly 0, and so does every entry of a row that hides all."""

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """softmax over the last axis where mask (broadcastable, True = may see) holds, 0 elsewhere."""
    if mask is None:
        return torch.softmax(scores, dim=-1)
    # A fully masked row is lifted to finite scores before the softmax and zeroed after it, so that neither the
    # value nor the gradient becomes NaN.
    visible = mask.any(dim=-1, keepdim=True)
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(~mask, lowest), dim=-1) * visible


def n_visible(scores: Tensor, mask: Tensor | None) -> Tensor:
    """How many keys each row sees, (..., 1), at least 1 so that it may be divided by."""
    if mask is None:
        return torch.full((1,), scores.shape[-1], device=scores.device)
    return mask.expand(scores.shape).sum(-1, keepdim=True).clamp_min(1)
