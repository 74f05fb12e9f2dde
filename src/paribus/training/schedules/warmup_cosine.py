"""Linear warm-up over a share of the run, then a half cosine from 1 down to `final`."""

import math
from typing import ClassVar

from paribus.core.config import require
from paribus.training.schedules.base import Schedule


class WarmupCosine(Schedule):
    source: ClassVar[str] = "Loshchilov and Hutter, SGDR, arXiv:1608.03983"
    warmup: float = 0.05  # share of the steps
    final: float = 0.1  # share of the peak

    def check(self) -> None:
        require(0 <= self.warmup < 1, f"warmup = {self.warmup}: expected a share of the run in [0, 1)")
        require(0 <= self.final <= 1, f"final = {self.final}: expected a share of the peak in [0, 1]")

    def __call__(self, step: int, steps: int) -> float:
        rising = math.ceil(self.warmup * steps)
        if step < rising:
            return (step + 1) / rising
        progress = (step - rising) / max(1, steps - 1 - rising)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


WarmupCosine.examples = (WarmupCosine(), WarmupCosine(warmup=0.0, final=0.0))
