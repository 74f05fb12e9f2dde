"""How likely each token is."""

import torch
from torch import Tensor


def odds(logits: Tensor) -> Tensor:
    """softmax in float64; tokens at plus infinity, where there are any, share the row evenly."""
    wide = logits.double()
    top = wide.amax(dim=-1, keepdim=True)
    endless = top == torch.inf
    if bool(endless.any()):
        wide = wide.where(~endless, torch.where(wide == top, 0.0, -torch.inf))
    return wide.softmax(dim=-1)
