"""Contract of the family: logits (batch, vocab_size) -> tokens int64 (batch,)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from paribus.core.config import Part


class Sampler(Part, ABC):
    @abstractmethod
    def __call__(self, logits: Tensor, random: torch.Generator) -> Tensor:
        """All randomness comes from the generator, so that a seed repeats a text."""
