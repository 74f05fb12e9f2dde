"""A draw from softmax(logits): the first token at which the cumulative probability passes a uniform number."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.generation.filters.temperature import Temperature
from paribus.generation.filters.top_p import TopP
from paribus.generation.odds import odds
from paribus.generation.samplers.base import Sampler


class Draw(Sampler):
    source: ClassVar[str] = "Devroye, Non-Uniform Random Variate Generation, 1986, chapter III.2"

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        # In float64 on the CPU, so that the draw for a seed does not depend on the device.
        probabilities = odds(logits.cpu())
        cumulative = probabilities.cumsum(dim=-1)
        target = uniform[:, None].cpu() * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
        # Rounding may push the target to the very end, where tokens without probability may stand.
        places = torch.arange(logits.shape[-1])
        last = torch.where(probabilities > 0, places, 0).amax(dim=-1)
        return token.minimum(last).to(logits.device)


Draw.examples = (Draw(), Draw(filters=(Temperature(temperature=0.7), TopP(p=0.9))))
