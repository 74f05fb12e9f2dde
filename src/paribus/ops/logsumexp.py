"""log sum exp over part of a row, with finite gradients where nothing is left."""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_logsumexp(x: Tensor, mask: Tensor) -> Tensor:
    """log sum_{j: mask_j} exp x_j over the last axis; where the mask leaves nothing, the lowest number, gradient 0."""
    lowest = torch.finfo(x.dtype).min
    some = mask.any(-1)
    if x.shape[-1] == 0:
        return x.sum(-1).where(some, lowest)
    # The maximum is taken out by hand, as torch's own gradient is NaN for a row of -inf.
    seen = x.masked_fill(~mask, lowest)
    top = seen.detach().amax(-1, keepdim=True)
    total = torch.exp(seen - top).where(mask, 0.0).sum(-1)
    return (total.where(some, 1.0).log() + top[..., 0]).where(some, lowest)


def log_one_plus_sum(x: Tensor, mask: Tensor) -> Tensor:
    """log(1 + sum_{j: mask_j} exp x_j), right to the last bits however small the sum is beside 1."""
    # Beyond 40 softplus(x) = x to the last bit of float64.
    return F.softplus(masked_logsumexp(x, mask), threshold=40.0)
