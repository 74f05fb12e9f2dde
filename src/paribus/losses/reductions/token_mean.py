"""Every kept token counts alike: w = 1 / number of kept tokens of the batch."""

from typing import ClassVar

from torch import Tensor

from paribus.losses.reductions.base import Reduction


class TokenMean(Reduction):
    source: ClassVar[str] = ""
    examples: ClassVar[tuple["TokenMean", ...]] = ()

    def weights(self, kept: Tensor) -> Tensor:
        return kept.float() / kept.sum().clamp_min(1)


TokenMean.examples = (TokenMean(),)
