"""p_j = max(s_j, 0)^2 / n, n the number of keys seen: each key for itself. Weights do not sum to one."""

from typing import ClassVar

from torch import Tensor

from paribus.normalizers.base import Normalizer
from paribus.ops.masking import n_visible
from paribus.ops.precision import widened


class SquaredRelu(Normalizer):
    source: ClassVar[str] = "Hua et al., Transformer Quality in Linear Time, arXiv:2202.10447"
    simplex: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = False
    examples: ClassVar[tuple["SquaredRelu", ...]] = ()

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        x = widened(scores)
        if mask is not None:
            x = x.masked_fill(~mask, 0.0)
        return (x.relu() ** 2 / n_visible(scores, mask)).to(scores.dtype)

    def negentropy(self, weights: Tensor) -> Tensor:
        """(2/3) sqrt(n) (sum p^1.5 - 1); one-hot weights come from a score of sqrt(n) among negative ones."""
        return 2 / 3 * weights.shape[-1] ** 0.5 * ((weights * weights.clamp_min(0).sqrt()).sum(-1) - 1)

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """sum_j max(s_j, 0)^3 / (3 n) + (2/3) sqrt(n)."""
        n = n_visible(scores, None)[..., 0].to(scores.dtype)
        return (scores.relu() ** 3).sum(-1) / (3 * n) + 2 / 3 * n.sqrt()


SquaredRelu.examples = (SquaredRelu(),)
