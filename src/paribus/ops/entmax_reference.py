"""Slow twins of entmax: by sorting (alpha = 2 and 1.5, exact) and by bisection (every alpha). The specification."""

import torch
from torch import Tensor

from paribus.ops.bisect import bisect


def sparsemax_by_sorting(x: Tensor) -> Tensor:
    """p = (x - tau)_+, tau = (sum of the k largest - 1) / k for the largest k with x_(k) >= tau_k."""
    x = x - x.amax(-1, keepdim=True)  # or the 1 is lost beside large numbers
    ordered = x.sort(dim=-1, descending=True).values
    k = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    taus = (ordered.cumsum(-1) - 1) / k
    size = (ordered >= taus).sum(-1, keepdim=True)
    return (x - taus.gather(-1, size - 1)).clamp_min(0)


def entmax15_by_sorting(x: Tensor) -> Tensor:
    """p = (z - tau)_+^2, z = x / 2, tau_k = mean - sqrt(1/k - variance) of the k largest, last k with tau_k <= z_(k).

    Counting the k with tau_k <= z_(k) is right under ties too, where testing strict inequalities on both sides, as
    published, finds no k at all (x = (2, 0)).
    """
    z = x / 2
    z = z - z.amax(-1, keepdim=True)
    ordered = z.sort(dim=-1, descending=True).values
    k = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    mean = ordered.cumsum(-1) / k
    variance = (ordered**2).cumsum(-1) / k - mean**2
    taus = mean - (1 / k - variance).clamp_min(0).sqrt()
    size = (taus <= ordered).sum(-1, keepdim=True)
    return (z - taus.gather(-1, size - 1)).clamp_min(0) ** 2


def entmax_by_bisection(x: Tensor, alpha: float, steps: int = 60) -> Tensor:
    """p = (z - tau)_+^(1/(alpha-1)), z = (alpha - 1) x shifted to maximum 0, tau in [-1, -n^(1-alpha)]."""
    beta = alpha - 1
    z = beta * x
    z = z - z.amax(-1, keepdim=True)
    low = torch.full_like(z[..., :1], -1.0)
    high = torch.full_like(low, -(x.shape[-1] ** -beta))

    def weights(tau: Tensor) -> Tensor:
        return (z - tau).clamp_min(0) ** (1 / beta)

    tau, _ = bisect(lambda at: weights(at).sum(-1, keepdim=True) - 1, low, high, steps)
    return weights(tau)
