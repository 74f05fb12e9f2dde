"""p_i = P(argmax(s + scale * noise) = i) with Gumbel noise, which is softmax(s / scale) exactly."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.normalizers.base import Normalizer
from paribus.ops.masking import masked_softmax
from paribus.ops.precision import widened


class GumbelMax(Normalizer):
    source: ClassVar[str] = "Gumbel, Statistical theory of extreme values, 1954; Maddison et al., arXiv:1411.0030"
    examples: ClassVar[tuple["GumbelMax", ...]] = ()
    scale: float = 1.0  # of the noise, > 0

    def check(self) -> None:
        require(self.scale > 0, f"scale = {self.scale}: expected a positive number")

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return masked_softmax(widened(scores) / self.scale, mask).to(scores.dtype)

    def sample(self, scores: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """One index for each row, (...), drawn with the probabilities that the member gives; errors as of `strict`."""
        self.check_scores(scores, mask)
        x = widened(scores.detach())
        exponential = torch.empty_like(x).exponential_(generator=generator)
        noisy = x / self.scale - exponential.log()
        return (noisy if mask is None else noisy.masked_fill(~mask, -torch.inf)).argmax(-1)

    def negentropy(self, weights: Tensor) -> Tensor:
        """scale * sum p log p."""
        return -torch.special.entr(weights).sum(-1) * self.scale


GumbelMax.examples = (GumbelMax(), GumbelMax(scale=0.5))
