"""loss = log sum_j exp(z_j) - <tau, z>, z = hidden head^T; d loss / dz = softmax(z) - tau.

tau = onehot(y), or the weights that are given as target (those of another model, say); with smoothing
(1 - smoothing) tau + smoothing / vocabulary.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.losses.output.base import OutputLoss, smoothed


class CrossEntropy(OutputLoss):
    source: ClassVar[str] = "Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv:2411.09009"
    examples: ClassVar[tuple["CrossEntropy", ...]] = ()

    smoothing: float = 0.0  # of the target, in [0, 1)

    def check(self) -> None:
        super().check()
        require(0 <= self.smoothing < 1, f"smoothing = {self.smoothing}: expected 0 <= smoothing < 1")

    def rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        index, smoothing = target[:, None], self.smoothing
        logits -= logits.amax(-1, keepdim=True)
        wanted = logits.gather(-1, index)
        if smoothing:
            wanted = (1 - smoothing) * wanted + smoothing * logits.mean(-1, keepdim=True)
        total = logits.exp_().sum(-1, keepdim=True)
        probability = logits.div_(total)
        if smoothing:
            probability -= smoothing / logits.shape[-1]
        return (total.log() - wanted)[:, 0], probability.scatter_add_(-1, index, torch.full_like(wanted, smoothing - 1))

    def soft_rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        tau = smoothed(target.to(logits.dtype), self.smoothing)
        logits -= logits.amax(-1, keepdim=True)
        wanted = torch.linalg.vecdot(tau, logits.where(tau > 0, 0.0))
        total = logits.exp_().sum(-1, keepdim=True)
        return total.log()[:, 0] - wanted, logits.div_(total).sub_(tau)


CrossEntropy.examples = (CrossEntropy(), CrossEntropy(chunk=3), CrossEntropy(smoothing=0.1))
