"""Softmax over the k largest scores, 0 elsewhere: p_j = exp(s_j) / sum_{top k} exp(s), for fine-tuning.

Its Fenchel-Young loss log sum_{top k} exp(s) - s_y is defined for a target outside the k largest too, where the
gradient in s_y is -1; SparseCrossEntropy can take such a target in. From a random start it learns more slowly than
softmax: what is out of the top k gets no gradient.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.normalizers.base import Normalizer
from paribus.ops.masking import masked_softmax


class SparseSoftmax(Normalizer):
    """A row that sees at most k keys keeps them all; scores that tie with the k-th are kept too."""

    source: ClassVar[str] = (
        "苏剑林, 通向概率分布之路：盘点Softmax及其替代品, 2024-06; Sun et al., Sparse-softmax, arXiv:2112.12433"
    )
    examples: ClassVar[tuple["SparseSoftmax", ...]] = ()
    k: int = 10

    def check(self) -> None:
        require(self.k >= 1, f"k = {self.k}: expected at least 1")

    def least_keys(self) -> int:
        return self.k

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return masked_softmax(scores, self.support(scores, mask))

    def support(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Which entries are among the k largest that are seen, of the shape of scores."""
        seen = scores.detach() if mask is None else scores.detach().masked_fill(~mask, -torch.inf)
        floor = seen.topk(min(self.k, scores.shape[-1]), dim=-1).values[..., -1:]
        kept = ~(seen < floor)  # so that NaN is kept, and shows
        return kept if mask is None else kept & mask

    def negentropy(self, weights: Tensor) -> Tensor:
        """sum p log p, for weights on at most k entries (ties aside); infinite elsewhere."""
        return -torch.special.entr(weights).sum(-1)


SparseSoftmax.examples = (SparseSoftmax(), SparseSoftmax(k=2))
