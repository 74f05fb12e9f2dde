"""Every sequence counts alike, whatever its length: w = 1 / (kept tokens of the sequence * sequences with any)."""

from typing import ClassVar

from torch import Tensor

from paribus.losses.reductions.base import Reduction


class SequenceMean(Reduction):
    source: ClassVar[str] = ""
    examples: ClassVar[tuple["SequenceMean", ...]] = ()

    def weights(self, kept: Tensor) -> Tensor:
        inside = kept.sum(-1, keepdim=True)
        return kept.float() / (inside.clamp_min(1) * (inside > 0).sum().clamp_min(1))


SequenceMean.examples = (SequenceMean(),)
