"""theta'_i = theta_i / lambda_i with one searched factor for each pair, and scores scaled by t^2.

t = sqrt(1 + ln s / ln L0). The factors come from a search over a checkpoint, usually non-decreasing in i. The rule that
leaves the first positions of a text unscaled is not covered, as in the checkpoints of common libraries.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class LongRoPE(Scaling):
    source: ClassVar[str] = "Ding et al., LongRoPE: Extending LLM Context Window Beyond 2 Million, arXiv:2402.13753"
    factors: tuple[float, ...]  # lambda_i > 0, one for each pair of a head
    extension: float = 1.0  # s = target length / trained length, for t alone; 1 leaves the scores alone
    train_length: int = 4096  # L0

    def check(self) -> None:
        require(
            len(self.factors) > 0 and min(self.factors) > 0,
            f"factors = {self.factors}: expected a positive number for each pair of a head",
        )
        require(self.extension >= 1, f"extension = {self.extension}: expected target length / trained length")
        require(self.train_length >= 2, f"train_length = {self.train_length}: expected at least 2 tokens")

    @property
    def pairs(self) -> int:
        return len(self.factors)

    def __call__(self, frequencies: Tensor) -> Tensor:
        require(
            frequencies.shape[-1] == len(self.factors),
            f"{len(self.factors)} factors for a head of {2 * frequencies.shape[-1]} coordinates: give one a pair",
        )
        return frequencies / torch.tensor(self.factors, dtype=frequencies.dtype, device=frequencies.device)

    @property
    def magnitude(self) -> float:
        return math.sqrt(1 + math.log(self.extension) / math.log(self.train_length))


LongRoPE.examples = (
    LongRoPE(factors=(1.0, 1.5, 3.0, 4.0), extension=4.0, train_length=512),
    LongRoPE(factors=(1.0, 2.0)),
)
