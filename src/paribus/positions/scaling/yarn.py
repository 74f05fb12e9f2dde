"""theta'_i = g_i theta_i + (1 - g_i) theta_i / s: pairs that turned often in training stay, slow ones are interpolated.

With r_i = L0 theta_i / 2 pi turns within the trained length L0, the two published ramps g are different numbers:

    paper  g = (r - slow) / (fast - slow), cut to [0, 1]: linear in r
    code   g = 1 - (i - lo) / (hi - lo), cut to [0, 1], lo and hi the pairs of `fast` and `slow` turns, rounded
           outwards: linear in ln r; what checkpoints were trained with

cos and sin are multiplied by t = 0.1 ln s + 1, so that scores gain t^2.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling


class YaRN(Scaling):
    source: ClassVar[str] = "Peng et al., YaRN: Efficient Context Window Extension of LLMs, arXiv:2309.00071"
    factor: float  # s = target length / trained length, >= 1
    train_length: int  # L0, before any extension
    ramp: Literal["code", "paper"] = "code"
    fast: float = 32.0  # pairs with more turns stay
    slow: float = 1.0  # pairs with fewer turns are divided by s
    temperature: float = 0.1  # t = temperature ln s + 1; 0 leaves the scores alone

    def check(self) -> None:
        require(self.factor >= 1, f"factor = {self.factor}: expected target length / trained length, at least 1")
        require(self.train_length >= 1, f"train_length = {self.train_length}: expected the trained length in tokens")
        require(0 < self.slow < self.fast, f"slow = {self.slow}, fast = {self.fast}: expected 0 < slow < fast turns")
        require(self.temperature >= 0, f"temperature = {self.temperature}: expected 0 or more, usually 0.1")

    def __call__(self, frequencies: Tensor) -> Tensor:
        kept = self.kept(frequencies)
        return frequencies * (kept + (1 - kept) / self.factor)

    def kept(self, frequencies: Tensor) -> Tensor:
        """g_i in [0, 1]: the share of each pair's frequency that stays."""
        if self.ramp == "paper":
            turns = self.train_length * frequencies / (2 * math.pi)
            return ((turns - self.slow) / (self.fast - self.slow)).clamp(0, 1)
        pairs = frequencies.shape[-1]
        require(pairs > 1, "the ramp of YaRN's code needs a head of at least 4 coordinates: use ramp='paper'")
        log_base = -pairs * math.log(float(frequencies[1] / frequencies[0]))

        def place(turns: float) -> float:
            """The pair, in fractions, that turns so often within the trained length."""
            return pairs * math.log(self.train_length / (2 * math.pi * turns)) / log_base

        low, high = max(math.floor(place(self.fast)), 0), min(math.ceil(place(self.slow)), 2 * pairs - 1)
        index = torch.arange(pairs, dtype=frequencies.dtype, device=frequencies.device)
        return 1 - ((index - low) / max(high - low, 0.001)).clamp(0, 1)

    @property
    def magnitude(self) -> float:
        return self.temperature * math.log(self.factor) + 1.0


YaRN.examples = (YaRN(factor=4.0, train_length=256), YaRN(factor=4.0, train_length=256, ramp="paper"))
