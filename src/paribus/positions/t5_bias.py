"""A learned number a head and bucket of distances: small distances have their own, large ones share by their logarithm.

Of B buckets the first B/2 are the distances 0 .. B/2 - 1; the others part ln(distance) evenly up to `longest`, beyond
which all share the last. Keys ahead of a query count as distance 0, or with `both_ways` have half of the buckets.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.layers.parameters import parameter
from paribus.positions.learned import LearnedBias, LearnedBiasConfig


class T5Bias(LearnedBias):
    class Config(LearnedBiasConfig):
        source: ClassVar[str] = "Raffel et al., Exploring the Limits of Transfer Learning (T5), arXiv:1910.10683"
        buckets: int = 32
        longest: int = 128
        both_ways: bool = False

        def check(self) -> None:
            super().check()
            least = 4 if self.both_ways else 2
            require(
                self.buckets >= least and self.buckets % least == 0,
                f"buckets = {self.buckets}: expected a positive multiple of {least}, usually 32",
            )
            require(
                self.longest > self.buckets // 2,
                f"longest = {self.longest}: expected more than the {self.buckets // 2} distances of their own",
            )

        def build(self) -> "T5Bias":
            return T5Bias(self)

        def n_parameters(self) -> int:
            return self.n_heads * self.buckets

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.buckets, self.longest, self.both_ways = config.buckets, config.longest, config.both_ways
        self.table = parameter((config.n_heads, config.buckets), std=0.02)

    def bucket(self, distance: Tensor) -> Tensor:
        """Query position - key position -> the index of its bucket."""
        buckets, shift = self.buckets, torch.zeros_like(distance)
        if self.both_ways:
            buckets //= 2
            shift = (distance < 0) * buckets
            distance = distance.abs()
        distance = distance.clamp(min=0)
        exact = buckets // 2
        share = torch.log(distance.clamp(min=1) / exact) / math.log(self.longest / exact)
        far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
        return shift + distance.where(distance < exact, far)

    def of_distance(self, distance: Tensor) -> Tensor:
        return self.table[:, self.bucket(distance[:, 0])].transpose(0, 1)


T5Bias.Config.examples = (T5Bias.Config(n_heads=4), T5Bias.Config(n_heads=4, buckets=8, longest=20, both_ways=True))
