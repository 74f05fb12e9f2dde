"""log sum_{j in S} exp(s_j) - s_y, S the k largest scores: the loss of sparse softmax, for fine-tuning.

Entries outside S get no gradient. A target outside has weight 0 and yet a finite, positive loss, whose gradient in s_y
is -1. With `keep_target` it is taken into S, and the loss is -log p_y of a softmax over at most k + 1 entries, with the
gradient p_y - 1.
"""

from typing import ClassVar

from torch import Tensor

from paribus.data.batch import IGNORED
from paribus.losses.base import Loss, check_index
from paribus.normalizers.sparse_softmax import SparseSoftmax
from paribus.ops.logsumexp import masked_logsumexp
from paribus.ops.precision import widened


class SparseCrossEntropy(Loss):
    """target: an index for each row. Without keep_target it is the Fenchel-Young loss of SparseSoftmax."""

    source: ClassVar[str] = (
        "苏剑林, 通向概率分布之路：盘点Softmax及其替代品, 2024-06; Sun et al., Sparse-softmax, arXiv:2112.12433"
    )
    examples: ClassVar[tuple["SparseCrossEntropy", ...]] = ()
    normalizer: SparseSoftmax = SparseSoftmax()
    keep_target: bool = False

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        check_index(target, scores.shape[-1], scores.shape[:-1])
        kept = (target != IGNORED)[..., None]
        index = target[..., None].where(kept, 0)
        wide = widened(scores).where(kept, 0.0)
        inside = self.normalizer.support(wide)
        if self.keep_target:
            inside = inside.scatter(-1, index, True)
        loss = masked_logsumexp(wide, inside) - wide.gather(-1, index)[..., 0]
        return loss.where(kept[..., 0], 0.0)


SparseCrossEntropy.examples = (
    SparseCrossEntropy(normalizer=SparseSoftmax(k=3)),
    SparseCrossEntropy(normalizer=SparseSoftmax(k=2), keep_target=True),
)
