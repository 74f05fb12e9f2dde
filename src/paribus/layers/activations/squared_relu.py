"""max(x, 0)^2."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.layers.activations.base import Activation
from paribus.layers.first_derivative import first_derivative_only
from paribus.ops import kernels


class SquaredReLU(Activation):
    source: ClassVar[str] = "So et al., Primer: Searching for Efficient Transformers, arXiv:2109.08668"

    def __call__(self, x: Tensor) -> Tensor:
        if kernels.mapped():
            return torch.relu(x).square()
        squared: Tensor = _SquaredReLU.apply(x)  # type: ignore[no-untyped-call]
        return squared


class _SquaredReLU(torch.autograd.Function):
    """Four passes over memory where relu(x).square() and its backward take seven; dy/dx = 2 max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first_derivative_only("SquaredReLU")
        (positive,) = ctx.saved_tensors
        return (gradients[0] * positive).mul_(2)


SquaredReLU.examples = (SquaredReLU(),)
