"""A loss that rides on a tensor: the value passes unchanged, and backward also lowers the loss, with weight 1.

So a layer can ask for a small loss of its own without the training loop knowing: loss_total = loss(y) + rider. The
weight is exact where backward starts from a gradient of 1, as a loop without loss scaling does.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def riding(y: Tensor, loss: Tensor) -> Tensor:
    """y, whose backward pass also sends a gradient of 1 into `loss`, a number."""
    ridden: Tensor = _Riding.apply(y, loss)  # type: ignore[no-untyped-call]
    return ridden


class _Riding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, loss: Tensor) -> Tensor:
        ctx.like = (loss.dtype, loss.device)
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        dtype, device = ctx.like
        return gradients[0], torch.ones((), dtype=dtype, device=device)
