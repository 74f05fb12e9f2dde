"""Pair i is (x_i, x_{i + d/2}): GPT-NeoX and every Llama-like checkpoint in Hugging Face format."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.ops import kernels
from paribus.positions.pairing.base import Pairing, in_32_bits


class HalfSplit(Pairing):
    source: ClassVar[str] = "Black et al., GPT-NeoX-20B, arXiv:2204.06745"

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        if kernels.mapped() or cos.requires_grad or sin.requires_grad:  # the latter: frequencies that are trained
            return in_32_bits(turn, x, cos, sin)
        if not torch.is_grad_enabled():
            return _turned(x, cos, sin)
        turned: Tensor = _Turn.apply(x, cos, sin, False)  # type: ignore[no-untyped-call]
        return turned

    def half_split_order(self, head_dim: int) -> list[int]:
        return list(range(head_dim))


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The rotation as it is written: the slow twin of `_Turn`."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class _Turn(torch.autograd.Function):
    """A rotation written half by half into its place; its backward is the rotation by the negative angle."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, backwards: bool) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.backwards = backwards
        return _turned(x, cos, sin, backwards)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        cos, sin = ctx.saved_tensors
        return _Turn.apply(gradients[0], cos, sin, not ctx.backwards), None, None, None  # type: ignore[no-untyped-call]


def _turned(x: Tensor, cos: Tensor, sin: Tensor, backwards: bool = False) -> Tensor:
    # A kernel takes (batch, heads, length, head_dim), as attention has it.
    if x.ndim == 4 and kernels.usable(x, cos, sin) and cos.ndim == 4 and cos.shape[1] == 1:
        return kernels.rotate(x if x.stride(-1) == 1 else x.contiguous(), cos, sin, backwards)
    return in_32_bits(_by_halves, x, cos, -sin if backwards else sin)


def _by_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    (a, b), (first, second) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return out


HalfSplit.examples = (HalfSplit(),)
