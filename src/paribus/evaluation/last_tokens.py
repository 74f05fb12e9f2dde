"""Loss and accuracy on the same last tokens, while only the context before them grows.

For every length n in `at`, the model reads the last n tokens of each window and its last `last` predictions are scored,
so that longer contexts are judged on exactly the same targets:

    loss@n = mean -ln p(target), nats per token;  accuracy@n = share of targets with the highest logit, in [0, 1]
"""

import math
from typing import ClassVar

import torch
from torch import nn

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Source
from paribus.evaluation.base import Metric
from paribus.evaluation.score import score


class LastTokens(Metric):
    source: ClassVar[str] = "苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708"
    last: int = 32
    at: tuple[int, ...]

    def check(self) -> None:
        require(len(self.at) > 0, "at = (): expected at least one context length")
        require(
            1 <= self.last <= min(self.at),
            f"last = {self.last}: expected 1 to {min(self.at)}, the shortest context length",
        )
        require(self.windows >= 1, f"windows = {self.windows}: expected at least 1")

    @property
    def longest(self) -> int:
        return max(self.at)

    def names(self) -> tuple[str, ...]:
        return tuple(f"{kind}@{n}" for kind in ("loss", "accuracy") for n in self.at)

    def unit(self, name: str) -> str:
        return "nats per token" if name.startswith("loss@") else "share of tokens"

    def lower_is_better(self, name: str) -> bool:
        return name.startswith("loss@")

    def worst(self, name: str, source: Source) -> float:
        return math.log(source.vocab_size) if name.startswith("loss@") else source.chance

    def tokens_read(self) -> int:
        return self.windows * sum(self.at)

    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        tokens = torch.from_numpy(windows.tokens)
        targets = torch.from_numpy(windows.targets)[:, -self.last :]
        require(
            tokens.shape[1] >= self.longest,
            f"windows of {tokens.shape[1]} tokens, and {self.longest} are to be read: ask for longer windows",
        )
        counted = int((targets != IGNORED).sum())
        require(counted > 0, "no target among the last tokens of the windows counts: score more of them")
        losses, hits = {}, {}
        for n in self.at:
            # What is cut away on the left is cut from the input.
            prefix = None if windows.prefix is None else (windows.prefix - (tokens.shape[1] - n)).clip(min=0)
            loss, hit = score(model, tokens[:, -n:], targets, prefix, dtype)
            losses[f"loss@{n}"], hits[f"accuracy@{n}"] = loss / counted, hit / counted
        return losses | hits


LastTokens.examples = (LastTokens(last=3, at=(5, 9), windows=4),)
