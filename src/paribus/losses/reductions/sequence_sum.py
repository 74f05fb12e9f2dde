"""The loss of a whole sequence is its log-probability: w = 1 / number of sequences with a kept token."""

from typing import ClassVar

from torch import Tensor

from paribus.losses.reductions.base import Reduction


class SequenceSum(Reduction):
    source: ClassVar[str] = ""
    examples: ClassVar[tuple["SequenceSum", ...]] = ()

    def weights(self, kept: Tensor) -> Tensor:
        return kept.float() / kept.any(-1).sum().clamp_min(1)


SequenceSum.examples = (SequenceSum(),)
