"""The token with the highest logit; of equal ones the smallest id."""

from typing import ClassVar

from torch import Tensor

from paribus.generation.filters.repetition_penalty import RepetitionPenalty
from paribus.generation.samplers.base import Sampler


class Greedy(Sampler):
    source: ClassVar[str] = "Graves, Sequence Transduction with Recurrent Neural Networks, arXiv:1211.3711"

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        highest = logits == logits.amax(dim=-1, keepdim=True)
        return highest.int().argmax(dim=-1)


Greedy.examples = (Greedy(), Greedy(filters=(RepetitionPenalty(penalty=1.1),)))
