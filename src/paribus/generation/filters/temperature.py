"""x / temperature: below 1 sharper, above 1 flatter; towards 0 the most likely token alone."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter


class Temperature(Filter):
    source: ClassVar[str] = "Ackley, Hinton and Sejnowski, A Learning Algorithm for Boltzmann Machines, 1985"
    temperature: float = 1.0

    def check(self) -> None:
        require(
            0 < self.temperature < float("inf"),
            f"temperature = {self.temperature}: expected a positive number; for the most likely token use Greedy",
        )

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        temperature = min(self.temperature, torch.finfo(logits.dtype).max)
        top = logits.amax(dim=-1, keepdim=True)
        scaled, fits = logits / temperature, (top / temperature).isfinite()
        if bool(fits.all()):
            return scaled
        # The largest overflows: told from it on, all others are below.
        below = torch.where(logits == top, 0.0, (logits.double() - top.double()) / temperature)
        return scaled.where(fits, below.to(logits.dtype))


Temperature.examples = (Temperature(), Temperature(temperature=0.3))
