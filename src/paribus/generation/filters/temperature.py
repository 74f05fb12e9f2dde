"""x / temperature: below 1 sharper, above 1 flatter."""

from typing import ClassVar

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
        return logits / self.temperature


Temperature.examples = (Temperature(), Temperature(temperature=0.3))
