"""Linear warm-up, a constant rate, and a linear decay to `final` over the last `decay` share (0: none)."""

import math
from typing import ClassVar

from paribus.core.config import require
from paribus.training.schedules.base import Schedule


class WarmupConstant(Schedule):
    source: ClassVar[str] = "Hu et al., MiniCPM (warmup-stable-decay), arXiv:2404.06395"
    warmup: float = 0.05  # share of the steps
    decay: float = 0.0  # share of the steps
    final: float = 0.0  # share of the peak at the very end of the decay

    def check(self) -> None:
        require(0 <= self.warmup < 1, f"warmup = {self.warmup}: expected a share of the run in [0, 1)")
        require(0 <= self.decay <= 1 - self.warmup, f"decay = {self.decay}: expected a share in [0, 1 - warmup]")
        require(0 <= self.final <= 1, f"final = {self.final}: expected a share of the peak in [0, 1]")

    def __call__(self, step: int, steps: int) -> float:
        rising, falling = math.ceil(self.warmup * steps), math.ceil(self.decay * steps)
        if step < rising:
            return (step + 1) / rising
        left = steps - step
        if left > falling:
            return 1.0
        return self.final + (1 - self.final) * left / (falling + 1)


WarmupConstant.examples = (WarmupConstant(), WarmupConstant(decay=0.2))
