"""A trunk and its branches: linear warm-up, a constant rate, and from step `hold` on a linear decay to `final`.

    rate(k) = (k + 1) / warmup                                        k < warmup
              1                                                       k < hold
              final + (1 - final) (steps - k) / (steps - hold + 1)    else

Warm-up and hold are steps, not shares, so that runs of every length agree up to where they decay: a run that is cut at
`hold` and goes on from there is the run itself.
"""

from typing import ClassVar

from paribus.core.config import require
from paribus.training.schedules.base import Schedule


class WarmupHoldDecay(Schedule):
    source: ClassVar[str] = (
        "Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, arXiv:2405.18392"
    )
    warmup: int  # steps, at least 0
    hold: int | None = None  # the first step of the decay; None: a trunk, which never decays
    final: float = 0.0  # share of the peak that the step after the last would have

    def check(self) -> None:
        require(self.warmup >= 0, f"warmup = {self.warmup}: expected a number of steps")
        require(
            self.hold is None or self.hold >= self.warmup,
            f"hold = {self.hold} and warmup = {self.warmup}: the decay begins after the warm-up",
        )
        require(0 <= self.final <= 1, f"final = {self.final}: expected a share of the peak in [0, 1]")

    def __call__(self, step: int, steps: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.hold is None or step < self.hold:
            return 1.0
        return self.final + (1 - self.final) * (steps - step) / (steps - self.hold + 1)


WarmupHoldDecay.examples = (WarmupHoldDecay(warmup=1), WarmupHoldDecay(warmup=0, hold=5, final=0.1))
