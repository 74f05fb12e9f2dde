"""NTK-aware scaling that follows the length read so far, with one set of frequencies for a query and all its keys.

A query at m < L0 uses the trained frequencies. Later ones use those of l = L0 + r ceil((m + 1 - L0) / r), where the
base becomes base * (F l / L0 - (F - 1))^(d/(d-2)): they change every r tokens, r = 1 being exact. Keys are rotated anew
at each change, so they are cached unrotated: a cache of rotated keys would mix bases.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.scaling.base import Scaling, Stage


class DynamicNTK(Scaling):
    source: ClassVar[str] = "emozilla, Dynamically Scaled RoPE, 2023-06; bloc97, NTK-Aware Scaled RoPE, 2023-06"
    changes: ClassVar[bool] = True
    train_length: int  # L0
    refresh: int = 256  # r: how many tokens share frequencies beyond the trained length
    strength: float = 1.0  # F; 1 is NTK-aware scaling with the factor l / L0
    length: int | None = None  # l, where it is held; None: it follows the query

    def check(self) -> None:
        require(self.train_length >= 1, f"train_length = {self.train_length}: expected the trained length in tokens")
        require(self.refresh >= 1, f"refresh = {self.refresh}: expected 1 or more tokens")
        require(self.strength >= 1, f"strength = {self.strength}: expected at least 1")
        require(
            self.length is None or self.length >= self.train_length,
            f"length = {self.length}: expected at least the trained length {self.train_length}",
        )

    def __call__(self, frequencies: Tensor) -> Tensor:
        """Those of the held length, or else of the trained one."""
        if self.length is None or self.length == self.train_length:
            return frequencies
        pairs = frequencies.shape[-1]
        require(
            pairs > 1, "NTK-aware scaling needs a head of at least 4 coordinates: with one pair there is no slowest"
        )
        factor = self.strength * self.length / self.train_length - (self.strength - 1)
        exponent = torch.arange(pairs, dtype=frequencies.dtype, device=frequencies.device) / (pairs - 1)
        return frequencies * factor**-exponent

    def stages(self, first: int, stop: int) -> list[Stage]:
        found = []
        while first < stop:
            late = max(0, -(-(first + 1 - self.train_length) // self.refresh))
            length = self.train_length + late * self.refresh
            found.append(Stage(0 if late == 0 else length - self.refresh, length, replace(self, length=length)))
            first = length
        return found


DynamicNTK.examples = (DynamicNTK(train_length=5, refresh=3), DynamicNTK(train_length=4, refresh=1, strength=2.0))
