"""x / sqrt(sum x^2 + eps), computed in float32: the zero vector stays zero, with a finite gradient."""

from torch import Tensor


def unit(x: Tensor, eps: float = 1e-6) -> Tensor:
    wide = x.float() if x.dtype.itemsize < 4 else x
    return (wide * (wide.square().sum(dim=-1, keepdim=True) + eps).rsqrt()).to(x.dtype)
