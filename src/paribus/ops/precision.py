"""Reductions of half-precision numbers are done in float32; only the result is rounded back."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """x itself, or its float32 copy where x is float16 or bfloat16."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
