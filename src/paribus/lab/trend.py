"""Several budgets from one run: a trunk at a constant rate, and from its snapshots branches that decay.

    trunk     warm-up, constant ......... snapshot 1 ............ snapshot 2 ............ snapshot 3
    branches                              decay                   decay                   decay

A branch is the run that a schedule of its own would have given from the start, bit by bit, since up to its snapshot the
two do not differ. So budgets n_1 < ... < n_k cost one trunk and k short decays, not k runs.
"""

import math
from itertools import pairwise
from typing import ClassVar

from paribus.core.config import Part, require
from paribus.core.errors import ConfigError
from paribus.training.schedules.warmup_hold_decay import WarmupHoldDecay


class Trend(Part):
    """The budgets of a profile: some shares of its own, then the whole, which gives the verdict.

    shares: of the budget, rising, each in (0, 1). decay: share of each budget over which its rate falls to `final`.
    warmup: share of the smallest budget over which the rate rises, the same steps for all.
    """

    source: ClassVar[str] = WarmupHoldDecay.source
    shares: tuple[float, ...]
    decay: float = 0.2
    warmup: float = 0.2
    final: float = 0.0

    def check(self) -> None:
        require(
            len(self.shares) >= 1
            and all(0 < share < 1 for share in self.shares)
            and all(a < b for a, b in pairwise(self.shares)),
            f"shares = {self.shares}: expected rising shares of the budget between 0 and 1, without the ends",
        )
        require(0 < self.decay < 1, f"decay = {self.decay}: expected a share of each budget in (0, 1)")
        require(
            0 <= self.warmup <= 1 - self.decay, f"warmup = {self.warmup}: expected a share from 0 to {1 - self.decay:g}"
        )
        require(0 <= self.final <= 1, f"final = {self.final}: expected a share of the peak in [0, 1]")

    def points(self, steps: int) -> tuple[int, ...]:
        """The budgets in steps, of a profile of `steps`; ConfigError where two of them would fall together."""
        found = (*(round(share * steps) for share in self.shares), steps)
        snapshots = [self.hold(n) for n in found]
        if snapshots[0] < 1 or any(a >= b for a, b in pairwise(snapshots)):
            raise ConfigError(
                f"a trend of shares {self.shares} has its snapshots at the steps {', '.join(map(str, snapshots))} of "
                f"{steps}: take shares further apart, or a larger budget"
            )
        return found

    def hold(self, n: int) -> int:
        """Where the branch of a budget of n steps leaves the trunk: so many steps are done."""
        return n - math.ceil(self.decay * n)

    def trunk(self, steps: int) -> WarmupHoldDecay:
        """The schedule up to any snapshot, in a profile of `steps`."""
        return WarmupHoldDecay(warmup=math.ceil(self.warmup * self.points(steps)[0]), final=self.final)

    def branch(self, steps: int, n: int) -> WarmupHoldDecay:
        """The schedule of a run of n steps, in a profile of `steps`."""
        warmup = self.trunk(steps).warmup
        return WarmupHoldDecay(warmup=warmup, hold=max(warmup, self.hold(n)), final=self.final)


Trend.examples = (Trend(shares=(0.25, 0.5)),)
