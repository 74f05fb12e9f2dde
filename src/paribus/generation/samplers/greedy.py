"""The token with the highest logit; of equal ones the smallest id."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.generation.samplers.base import Sampler


class Greedy(Sampler):
    source: ClassVar[str] = "Graves, Sequence Transduction with Recurrent Neural Networks, arXiv:1211.3711"

    def __call__(self, logits: Tensor, random: torch.Generator) -> Tensor:
        highest = logits == logits.amax(dim=-1, keepdim=True)
        return highest.int().argmax(dim=-1)


Greedy.examples = (Greedy(),)
