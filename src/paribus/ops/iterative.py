"""Smooth top-k by k rounds of softmax, as published before operators that keep their promises: for comparison only.

    damped       x <- x - min x;  p = 0;  k times  p += softmax((1 - p) x)
    weighted     p = 0;  k times  p += (1 - p) e^x / sum (1 - p) e^x

Both sum to k, and neither lies in [0, 1]: for x = (1.1, 0, 0) and k = 2 damping gives 1.037, and it breaks the order of
the scores. As the temperature falls the weighted form tends to (1.5, 0.5, 0, ...) for k = 2, not to two ones, and the
damped one does so for k = n = 2. Use LaplaceTopK.

Source: 苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19, which calls the first hard to prove right.
"""

import torch
from torch import Tensor


def damped_top_k(x: Tensor, k: int, temperature: float = 1.0) -> Tensor:
    """x (..., n) finite, 1 <= k <= n -> p (..., n) with sum k; entries may exceed 1."""
    x = (x - x.amin(-1, keepdim=True)) / temperature
    p = torch.zeros_like(x)
    for _ in range(k):
        p = p + torch.softmax((1 - p) * x, dim=-1)
    return p


def weighted_top_k(x: Tensor, k: int, temperature: float = 1.0) -> Tensor:
    """x (..., n) finite, 1 <= k <= n -> p (..., n) with sum k; entries may exceed 1."""
    weights = torch.softmax(x / temperature, dim=-1)
    p = torch.zeros_like(x)
    for _ in range(k):
        left = (1 - p) * weights
        p = p + left / left.sum(-1, keepdim=True)
    return p
