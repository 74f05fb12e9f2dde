"""Cross entropy of cosines, the target's lowered by a margin: log sum_k e^{a s'_k} - a s'_y, s' = s - m onehot(y)."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from paribus.data.batch import IGNORED
from paribus.losses.base import Loss, check_index
from paribus.normalizers.margin_softmax import MarginSoftmax
from paribus.ops.precision import widened


class MarginCrossEntropy(Loss):
    """scores are cosines; target an index for each row."""

    source: ClassVar[str] = "Wang et al., Additive Margin Softmax for Face Verification, arXiv:1801.05599"
    examples: ClassVar[tuple["MarginCrossEntropy", ...]] = ()
    normalizer: MarginSoftmax = MarginSoftmax()

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        check_index(target, scores.shape[-1], scores.shape[:-1])
        member, wide = self.normalizer, widened(scores)
        lowered = member.lowered(wide, target.where(target != IGNORED, 0)) * member.scale
        rows = lowered.reshape(-1, scores.shape[-1])
        flat = F.cross_entropy(rows, target.flatten(), ignore_index=IGNORED, reduction="none")
        return flat.view(target.shape)


MarginCrossEntropy.examples = (MarginCrossEntropy(),)
