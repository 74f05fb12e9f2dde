"""x W^T where x has few rows, as in a step of decoding: the time is that of reading W once.

Libraries are built for many rows. Here W is read in order, with its next lines asked for in time (16 bits), or in the
blocks of 4 or 8 bits that it came from (float32). Twin: F.linear.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.ops import kernels
from paribus.ops.blocks import attached

FEW = 2  # rows; with more of them the units for matrices win
LARGE = 2**16  # numbers of W; below, the call costs more than the reading


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """(..., n_in) times weight (n_out, n_in) transposed -> (..., n_out), summed in float32 and rounded once."""
    if memory_bound(x, weight):
        if weight.dtype == torch.bfloat16:
            return kernels.few_rows(x.contiguous(), weight)
        if (blocks := attached(weight)) is not None:
            return kernels.block_rows(x.contiguous(), blocks)
    return F.linear(x, weight)


def memory_bound(x: Tensor, weight: Tensor) -> bool:
    """Few rows on a CPU, and no gradient asked for. Every step of decoding asks it often: likely noes come first."""
    return (
        x.numel() <= FEW * x.shape[-1]
        and not torch.is_grad_enabled()
        and weight.numel() >= LARGE
        and x.dtype == weight.dtype
        and weight.is_contiguous()
        and not torch.is_autocast_enabled(x.device.type)
        and kernels.usable(x, weight)
    )
