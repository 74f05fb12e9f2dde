"""y = g * x / sqrt(mean(x^2) + eps)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.first_derivative import first_derivative_only
from paribus.layers.norms.base import NormConfig
from paribus.layers.parameters import parameter
from paribus.layers.width import width
from paribus.ops import kernels


class RMSNorm(nn.Module):
    class Config(NormConfig):
        source: ClassVar[str] = "Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv:1910.07467"

        def build(self) -> "RMSNorm":
            return RMSNorm(self)

        def n_parameters(self) -> int:
            return width(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.eps = config.eps
        self.gain = parameter((width(config),), std=0.0, mean=1.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.gain.dtype == torch.bfloat16 and not torch.is_grad_enabled() and kernels.usable(x, self.gain):
            return kernels.rms_norm(x.contiguous(), self.gain.float(), self.eps, x.dtype)[0]
        if kernels.usable(x, self.gain) and self.gain.dtype == torch.float32:
            # A matmul would take it in 16 bits anyway: it is rounded where it is made.
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            if dtype in (torch.float32, torch.bfloat16):
                if not torch.is_grad_enabled():
                    return kernels.rms_norm(x.contiguous(), self.gain, self.eps, dtype)[0]
                fast: Tensor = _Kernel.apply(x, self.gain, self.eps, dtype)  # type: ignore[no-untyped-call]
                return fast
        if x.is_cuda or x.dtype.itemsize < 4 or kernels.mapped():
            return F.rms_norm(x, self.gain.shape, self.gain, self.eps)
        normed: Tensor = _RMSNorm.apply(x, self.gain, self.eps)  # type: ignore[no-untyped-call]
        return normed


class _Kernel(torch.autograd.Function):
    """One pass over x forward and one backward. Twins: `_RMSNorm` and F.rms_norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        x = x.contiguous()
        y, inverse = kernels.rms_norm(x, gain, eps, dtype)
        ctx.save_for_backward(x, gain, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        first_derivative_only("RMSNorm")
        return *kernels.rms_norm_backward(gradients[0].contiguous(), *ctx.saved_tensors), None, None


class _RMSNorm(torch.autograd.Function):
    """torch composes rms_norm of single operations on a CPU; this takes two thirds of its time. Twin: F.rms_norm.

    With n = r x and r = 1 / sqrt(mean(x^2) + eps): dx = r (u - n mean(u n)), u = g dy;  dg = sum dy n.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        inverse = (x.square().mean(dim=-1, keepdim=True) + eps).rsqrt_()
        normed = x * inverse
        ctx.save_for_backward(normed, gain, inverse)
        return normed * gain

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        first_derivative_only("RMSNorm")
        (dy,) = gradients
        normed, gain, inverse = ctx.saved_tensors
        u = dy * gain
        mean = torch.linalg.vecdot(u, normed).unsqueeze(-1).div_(normed.shape[-1])
        dx = u.addcmul_(normed, mean, value=-1).mul_(inverse)
        return dx, (dy * normed).flatten(0, -2).sum(dim=0), None


RMSNorm.Config.examples = (RMSNorm.Config(d_model=12),)
