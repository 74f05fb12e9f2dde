"""A draw from softmax(logits / temperature)."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.samplers.base import Sampler


class Temperature(Sampler):
    source: ClassVar[str] = "Ackley, Hinton and Sejnowski, A Learning Algorithm for Boltzmann Machines, 1985"
    temperature: float = 1.0

    def check(self) -> None:
        require(
            self.temperature > 0,
            f"temperature = {self.temperature}: expected a positive number; for the most likely token use Greedy",
        )

    def __call__(self, logits: Tensor, random: torch.Generator) -> Tensor:
        # In float64 on the CPU, so that the draw for a seed does not depend on the device.
        weights = torch.softmax(logits.double().cpu() / self.temperature, dim=-1)
        return torch.multinomial(weights, 1, generator=random).squeeze(-1).to(logits.device)


Temperature.examples = (Temperature(), Temperature(temperature=0.3))
