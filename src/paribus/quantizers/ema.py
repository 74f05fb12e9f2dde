"""Codes that follow the mean of what they stand for: no gradient, no learning rate.

    N <- g N + (1 - g) n,   c <- c + (1 - g) (sum of its x - n c) / N,   loss = commitment |x - stop(c)|^2

n vectors of a batch fall to a code. A code whose N (vectors a step) sinks below `restart_below` is dead: it restarts
at a vector of the batch, picked at even distances, so that equal seeds give equal codes. N starts at zero, so the
first batch places every code. Codes change in training with gradients enabled only. Of a batch that several processes
read, n and sums are those of all rows, and every process moves the same codes (`Readers`).
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.layers.parameters import parameter
from paribus.quantizers.base import Quantised, Quantizer, QuantizerConfig
from paribus.quantizers.nearest import look_up, nearest


class EMA(Quantizer):
    class Config(QuantizerConfig):
        source: ClassVar[str] = "van den Oord et al., Neural Discrete Representation Learning, arXiv:1711.00937, A.1"
        decay: float = 0.99  # g
        restart_below: float = 0.1  # vectors a step; 0: dead codes stay dead
        commitment: float = 0.25

        def check(self) -> None:
            super().check()
            require(0 <= self.decay < 1, f"decay = {self.decay}: expected a number in [0, 1), usually 0.99")
            require(self.restart_below >= 0, f"restart_below = {self.restart_below}: expected 0 or more vectors a step")
            require(self.commitment >= 0, f"commitment = {self.commitment}: expected 0 or more")

        def build(self) -> "EMA":
            return EMA(self)

    usage: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codes = parameter((config.groups, config.n_codes, config.d), std=1.0)
        self.codes.requires_grad_(False)
        self.register_buffer("usage", torch.zeros(config.groups, config.n_codes))  # N

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Quantised:
        which = nearest(x, self.codes)
        code = look_up(self.codes, which)
        loss = self.config.commitment * self.readers.distance(x.to(code.dtype), code, visible)
        quantised = Quantised(x + (code.to(x.dtype) - x.detach()), which, loss)
        if self.training and torch.is_grad_enabled():
            self.follow(x.detach(), which, visible)
        return quantised

    @torch.no_grad()
    def follow(self, x: Tensor, which: Tensor, visible: Tensor | None = None) -> None:
        """Move the codes towards the means of x (batch, groups, length, width) by the codes that it fell to."""
        if x.shape[0] * x.shape[2] == 0 and self.readers.world == 1:
            return
        groups, n_codes, width = self.codes.shape
        seen = x.transpose(0, 1).flatten(1, 2).to(self.codes.dtype)  # (groups, vectors, width)
        index = which.transpose(0, 1).flatten(1)
        one = torch.ones_like(index, dtype=self.usage.dtype)
        if visible is not None:
            counts = visible.expand(x.shape[:-1]).transpose(0, 1).flatten(1)
            one, seen = counts.to(one.dtype), seen.where(counts.unsqueeze(-1), 0.0)
        fell = torch.zeros_like(self.usage).scatter_add_(1, index, one)
        flat = (index + n_codes * torch.arange(groups, device=index.device)[:, None]).flatten()
        total = torch.zeros_like(self.codes).view(-1, width).index_add_(0, flat, seen.flatten(0, 1)).view_as(self.codes)
        fell, total = self.readers.summed(fell), self.readers.summed(total)
        rest = 1 - self.config.decay
        self.usage.mul_(self.config.decay).add_(fell, alpha=rest)
        step = (total - fell.unsqueeze(-1) * self.codes) * (rest / self.usage.clamp_min(1e-12)).unsqueeze(-1)
        self.codes.add_(step)
        dead = self.usage < self.config.restart_below
        fresh, there = self.readers.evenly(x.to(self.codes.dtype), visible, n_codes)
        self.codes.copy_(fresh.where((dead & there).unsqueeze(-1), self.codes))
        self.usage.clamp_min_(self.config.restart_below)


EMA.Config.examples = (EMA.Config(n_codes=7, width=3, groups=2), EMA.Config(n_codes=5, width=3, restart_below=0.0))
