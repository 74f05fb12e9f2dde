"""loss = mean over the targets that count of log sum_j exp(z_j) - z_target, in nats, without a copy of the logits.

All arithmetic is float32 whatever the logits are. Slow twin: `written_out`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.layers.first_derivative import first_derivative_only
from paribus.ops import kernels


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (..., n), targets int64 (...), IGNORED where nothing is asked; NaN when nothing is.

    Raises InputError for a target that is neither IGNORED nor below n.
    """
    if not kernels.usable(logits) or type(targets) is not Tensor or targets.dtype != torch.int64:
        return written_out(logits, targets)
    mean: Tensor = _Kernel.apply(logits, targets)  # type: ignore[no-untyped-call]
    return mean


def written_out(logits: Tensor, targets: Tensor) -> Tensor:
    """The same by torch's own operations."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


class _Kernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        rows, wanted = logits.detach().flatten(0, -2).contiguous(), targets.flatten().contiguous()
        counts = wanted != IGNORED
        n = rows.shape[-1]
        if bool((counts & ((wanted < 0) | (wanted >= n))).any()):
            raise InputError(
                f"targets from {int(wanted.min())} to {int(wanted.max())} for {n} logits: expected 0 to {n - 1}, or "
                f"{IGNORED} where nothing is asked"
            )
        losses, log_sum = kernels.cross_entropy(rows, wanted, IGNORED)
        ctx.count = int(counts.sum())
        ctx.shape = logits.shape
        ctx.save_for_backward(rows, wanted, log_sum)
        return losses.sum() / ctx.count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first_derivative_only("mean cross entropy")
        rows, wanted, log_sum = ctx.saved_tensors
        factor = float(gradients[0]) / max(ctx.count, 1)
        return kernels.cross_entropy_backward(rows, wanted, IGNORED, log_sum, factor).view(ctx.shape), None
