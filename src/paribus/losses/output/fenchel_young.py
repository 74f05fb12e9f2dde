"""The Fenchel-Young loss of any normalizer p on a vocabulary: Omega*(z) - z_y, d loss / dz = p(z) - onehot(y)."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.losses.base import check_without_weights
from paribus.losses.output.base import OutputLoss
from paribus.normalizers.base import Normalizer
from paribus.normalizers.off_by_one import OffByOne
from paribus.normalizers.sparsemax import Sparsemax


class OutputFenchelYoung(OutputLoss):
    source: ClassVar[str] = "Blondel, Martins and Niculae, Learning with Fenchel-Young Losses, arXiv:1901.02324"
    examples: ClassVar[tuple["OutputFenchelYoung", ...]] = ()
    buffers: ClassVar[int] = 2
    normalizer: Normalizer = Sparsemax()

    def check(self) -> None:
        super().check()
        check_without_weights(self.normalizer)
        require(self.normalizer.one_hot_targets, f"{self.normalizer}: its weights are never one-hot; use FenchelYoung")

    def rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        index = target[:, None]
        if self.normalizer.shift_invariant:
            logits -= logits.amax(-1, keepdim=True)
        p = self.normalizer(logits)
        losses = self.normalizer.conjugate(logits, p) - logits.gather(-1, index)[:, 0]
        return losses.clamp_min(0), p.scatter_add_(-1, index, -torch.ones_like(index, dtype=p.dtype))


OutputFenchelYoung.examples = (
    OutputFenchelYoung(),
    OutputFenchelYoung(chunk=2),
    OutputFenchelYoung(normalizer=OffByOne()),
)
