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


OffByOne.examples = (OffByOne(),)
