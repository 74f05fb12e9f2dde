"""Loss and accuracy on the same last tokens, while only the context before them grows.

For every length n in `at`, the model reads the last n tokens of each window and its last `last` predictions are scored,
so that longer contexts are judged on exactly the same targets:

    loss@n = mean -ln p(target), nats per token;  accuracy@n = share of targets with the highest logit, in [0, 1]
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Source
from paribus.evaluation.base import Metric
from paribus.training.precision import autocast

TOKENS_AT_ONCE = 1024  # few enough for the scores to stay in cache: twice as fast as 8192 on a CPU


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

    @torch.no_grad()
    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        device = next(model.parameters()).device
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
            loss, hit = 0.0, 0
            rows = max(1, TOKENS_AT_ONCE // n)
            for read, wanted in zip(tokens[:, -n:].split(rows), targets.split(rows), strict=True):
                with autocast(dtype, device):
                    logits = model(read.to(device), last=self.last).float()
                wanted = wanted.to(device)
                # Summed in float64, so that the result does not depend on how many rows are read at once.
                each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none")
                loss += float(each.double().sum())
                hit += int((logits.argmax(dim=-1) == wanted).sum())
            losses[f"loss@{n}"], hits[f"accuracy@{n}"] = loss / counted, hit / counted
        return losses | hits


LastTokens.examples = (LastTokens(last=3, at=(5, 9), windows=4),)
