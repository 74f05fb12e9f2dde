"""Rule out every token that would repeat an n-gram of the text so far; where that leaves none, rule out nothing."""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.generation.filters.base import Filter


class NoRepeatedNGram(Filter):
    source: ClassVar[str] = "Paulus, Xiong and Socher, A Deep Reinforced Model for Summarization, arXiv:1705.04304"
    n: int

    def check(self) -> None:
        require(self.n >= 1, f"n = {self.n}: expected at least 1 token")

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        if seen.shape[1] < self.n:
            return logits
        windows = seen.unfold(1, self.n, 1)  # (batch, places, n)
        before = seen[:, seen.shape[1] - self.n + 1 :]  # the n - 1 tokens that the next one would complete
        repeats = (windows[:, :, : self.n - 1] == before[:, None]).all(dim=-1) & (windows >= 0).all(dim=-1)
        vocab_size = logits.shape[-1]
        banned = torch.zeros(len(seen), vocab_size + 1, dtype=torch.bool, device=logits.device)
        banned.scatter_(-1, windows[:, :, -1].where(repeats, vocab_size), True)
        filtered = logits.masked_fill(banned[:, :vocab_size], -torch.inf)
        return torch.where(torch.isneginf(filtered).all(dim=-1, keepdim=True), logits, filtered)


NoRepeatedNGram.examples = (NoRepeatedNGram(n=1), NoRepeatedNGram(n=3))
