"""loss = log sum_j exp(z_j) - z_y, z = hidden head^T; d loss / dz = softmax(z) - onehot(y)."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.losses.output.base import OutputLoss


class CrossEntropy(OutputLoss):
    source: ClassVar[str] = "Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv:2411.09009"
    examples: ClassVar[tuple["CrossEntropy", ...]] = ()

    def rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        index = target[:, None]
        logits -= logits.amax(-1, keepdim=True)
        at_target = logits.gather(-1, index)
        total = logits.exp_().sum(-1, keepdim=True)
        probability = logits.div_(total)
        return (total.log() - at_target)[:, 0], probability.scatter_add_(-1, index, -torch.ones_like(at_target))


CrossEntropy.examples = (CrossEntropy(), CrossEntropy(chunk=3))
