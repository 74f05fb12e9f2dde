"""p_j = exp(s_j) / (1 + sum_k exp(s_k)): softmax with one more key, of score 0 and no value. Weights sum to < 1."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.normalizers.base import Normalizer


class OffByOne(Normalizer):
    """A query that finds nothing gives next to nothing: all weights fall to 0 as all scores fall."""

    source: ClassVar[str] = "Miller, Attention Is Off By One, 2023"
    simplex: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = False
    examples: ClassVar[tuple["OffByOne", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        return torch.softmax(F.pad(seen, (0, 1)), dim=-1)[..., :-1]

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum p log p + (1 - sum p) log(1 - sum p): that of softmax with the key that has no value."""
        rest = 1 - weights.sum(-1)
        rest = rest.where(rest.abs() > 1e-3, rest.clamp_min(0))  # rounding; what sums to more has no finite Omega
        return -torch.special.entr(weights).sum(-1) - torch.special.entr(rest)

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """log(1 + sum_k exp(s_k))."""
        return torch.logsumexp(F.pad(scores, (0, 1)), dim=-1)


OffByOne.examples = (OffByOne(),)
