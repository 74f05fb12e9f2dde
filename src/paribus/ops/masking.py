"""Masked rows without NaN: what is hidden weighs exactly 0, and so does every entry of a row that hides all.

A score of -inf hides its key as a mask does.
"""

import torch
from torch import Tensor

from paribus.ops import kernels


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """softmax over the last axis where mask (broadcastable, True = may see) holds, 0 elsewhere.

    Inside a transform of torch.func, where looking would cost as much again, a row is taken to hold a score above
    -inf unless the mask hides all of it.
    """
    if scores.shape[-1] == 0:
        return scores
    visible = None
    if mask is not None:
        # A fully masked row is lifted to finite scores before the softmax and zeroed after it, so that neither the
        # value nor the gradient becomes NaN. In others -inf, as a lowest finite number could be a score itself.
        visible = mask.any(dim=-1, keepdim=True)
        floor = torch.zeros_like(visible, dtype=scores.dtype).masked_fill(visible, -torch.inf)
        scores = scores.where(mask, floor)
    compiling = torch.compiler.is_compiling()
    mapped = not compiling and kernels.mapped()
    if mapped or (scores.device.type == "cpu" and not compiling):
        weights = torch.softmax(scores, dim=-1)
        if mapped or not bool(weights.detach()[..., :1].isnan().any()):  # one column tells, and costs nothing
            return weights if visible is None else weights * visible
    nothing = scores.detach().amax(-1, keepdim=True) == -torch.inf
    weights = torch.softmax(scores.masked_fill(nothing, 0.0), dim=-1).masked_fill(nothing, 0.0)
    return weights if visible is None else weights * visible


def n_visible(scores: Tensor, mask: Tensor | None) -> Tensor:
    """How many keys each row sees, (..., 1), at least 1 so that it may be divided by."""
    seen = scores.detach() != -torch.inf
    if mask is not None:
        seen = seen & mask
    return seen.sum(-1, keepdim=True).clamp_min(1)
