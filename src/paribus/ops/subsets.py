"""How often each entry is in a random k-subset S drawn with probability proportional to exp(sum_S x).

    p_i = d log Z_k / d x_i,   Z_k = sum_{|S| = k} exp(sum_{i in S} x_i), the elementary symmetric polynomial of exp x

Z is the k-th coefficient of prod_i (1 + z e^{x_i}). The product is taken in a binary tree of polynomials held in
logs; the weights come back down the same tree. There are only additions, so nothing cancels: O(n k) work, O(n k)
memory, log2 n steps. (The published recursion Z_{k,i} = e^{x_i} (Z_{k-1} - Z_{k-1,i}) subtracts, and fails at a
spread of 16 in float32.)
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NONE = -1e30  # log 0, finite so that gradients are


def _shifted(c: Tensor, size_b: int, size_a: int) -> Tensor:
    """c (..., size_c) -> (..., size_a, size_b) with entry [j, i] = c[j - i], NONE outside."""
    j = torch.arange(size_a, device=c.device)[:, None]
    i = torch.arange(size_b, device=c.device)[None, :]
    lag = j - i
    inside = (lag >= 0) & (lag < c.shape[-1])
    return c[..., lag.clamp(0, c.shape[-1] - 1)].masked_fill(~inside, NONE)


def _tree(x: Tensor, largest: int) -> list[Tensor]:
    """Logs of the coefficients of every node's polynomial, (rows, nodes, degree + 1), from the leaves to the root."""
    n = x.shape[1]
    depth = max(1, (n - 1).bit_length())
    x = F.pad(x.clamp_min(NONE), (0, 2**depth - n), value=NONE)
    levels = [torch.stack([torch.zeros_like(x), x], dim=-1)]
    for level in range(1, depth + 1):
        b, c = levels[-1][:, 0::2], levels[-1][:, 1::2]
        size = min(2**level, largest) + 1
        levels.append(torch.logsumexp(_shifted(c, b.shape[-1], size) + b[..., None, :], dim=-1))
    return levels


def log_subset_sum(x: Tensor, k: int) -> Tensor:
    """log Z_k of x (rows, n), 0 <= k <= n: (rows,)."""
    return _tree(x, max(k, 1))[-1][:, 0, k]


def subset_marginals(x: Tensor, k: Tensor, largest: int) -> Tensor:
    """x (rows, n) float64, k (rows, 1) int64 with 0 <= k <= largest -> p (rows, n); -inf entries get 0.

    k must not exceed the number of finite entries of a row.
    """
    polynomials = _tree(x, largest)
    root = polynomials[-1]
    k = k.clamp(max=root.shape[-1] - 1)
    log_z = root[:, 0].gather(-1, k)
    # out[j] = log of the weight of all that lies outside a node, given that the node contributes j entries.
    asked = torch.arange(root.shape[-1], device=x.device) == k
    out = torch.zeros_like(root[:, 0]).masked_fill(~asked, NONE)[:, None]
    for level in range(len(polynomials) - 1, 0, -1):
        b, c = polynomials[level - 1][:, 0::2], polynomials[level - 1][:, 1::2]
        size = out.shape[-1]
        of_b = torch.logsumexp(_shifted(c, b.shape[-1], size) + out[..., None], dim=-2)
        of_c = torch.logsumexp(_shifted(b, c.shape[-1], size) + out[..., None], dim=-2)
        out = torch.stack([of_b, of_c], dim=2).flatten(1, 2)
    return torch.exp(out[..., 1] + polynomials[0][..., 1] - log_z)[:, : x.shape[1]]
