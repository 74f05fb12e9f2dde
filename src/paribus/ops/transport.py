"""Smooth top-k as entropic optimal transport, by Sinkhorn's iterations: kept for comparison.

n entries of mass 1 go to two places, `taken` (mass k, cost -x_i) and `left` (mass n - k, cost 0); the plan is

    P_i = sigmoid(x_i / temperature - t),   sum_i P_i = k

so the iterations crawl towards the one number t that SigmoidTopK finds at once. Source: Xie et al., Differentiable
Top-k with Optimal Transport, arXiv:2002.06504.
"""

import math

import torch
from torch import Tensor


def transport_top_k(x: Tensor, k: int, temperature: float = 1.0, iterations: int = 200) -> Tensor:
    """x (..., n), 0 < k < n -> the share of each entry that is taken; in [0, 1], summing to k in the limit only."""
    n = x.shape[-1]
    scores = x / temperature
    taken = torch.zeros_like(scores[..., :1])
    left = torch.zeros_like(taken)
    for _ in range(iterations):
        each = -torch.logaddexp(scores + taken, left)
        taken = math.log(k) - torch.logsumexp(scores + each, dim=-1, keepdim=True)
        left = math.log(n - k) - torch.logsumexp(each, dim=-1, keepdim=True)
    return torch.sigmoid(scores + taken - left)
