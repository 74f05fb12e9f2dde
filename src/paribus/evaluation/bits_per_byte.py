"""What a model that reads text through any tokenizer needs to tell a byte of it: comparable across tokenizers.

    bits per byte = sum of -ln p(token) over the tokens that begin in the last `last` bytes of each window
                    / (ln 2 * bytes of these tokens)

Every window is the same bytes for all arms. What stands before its last bytes is context that is not judged.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Source, Stream
from paribus.data.text_source import TextStream
from paribus.evaluation.base import Metric
from paribus.training.precision import autocast

TOKENS_AT_ONCE = 1024
WORST = 8.0  # bits: a guess among all bytes


class BitsPerByte(Metric):
    """span: bytes of a window; last: of them, those that are judged, the rest being context."""

    source: ClassVar[str] = "Gao et al., The Pile, arXiv:2101.00027, section 3.1"

    span: int = 512
    last: int = 256

    def check(self) -> None:
        require(1 <= self.last < self.span, f"last = {self.last}: expected 1 to {self.span - 1}, less than the window")
        require(self.windows >= 1, f"windows = {self.windows}: expected at least 1")

    @property
    def longest(self) -> int:
        """A token is a byte at the least."""
        return self.span

    def names(self) -> tuple[str, ...]:
        return ("bits per byte",)

    def unit(self, name: str) -> str:
        return "bits per byte"

    def lower_is_better(self, name: str) -> bool:
        return True

    def worst(self, name: str, source: Source) -> float:
        return WORST

    def held_out(self, stream: Stream, split: str = "test") -> Batch:
        require(isinstance(stream, TextStream), "bits per byte are those of text: choose another metric for this data")
        assert isinstance(stream, TextStream)
        return stream.windows(split, self.windows, self.span, self.span, judged=self.last)

    @torch.no_grad()
    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        counted = windows.judged_bytes
        require(
            counted is not None and counted > 0,
            "no bytes of the windows are judged: take them from held_out() of this metric, and judge more of them",
        )
        assert counted is not None
        device = next(model.parameters()).device
        tokens, targets = torch.from_numpy(windows.tokens), torch.from_numpy(windows.targets)
        rows = max(1, TOKENS_AT_ONCE // tokens.shape[1])
        nats = 0.0
        for read, wanted in zip(tokens.split(rows), targets.split(rows), strict=True):
            with autocast(dtype, device):
                logits = model(read.to(device)).float()
            each = F.cross_entropy(
                logits.flatten(0, 1), wanted.to(device).flatten(), ignore_index=IGNORED, reduction="none"
            )
            nats += float(each.double().sum())
        return {"bits per byte": nats / math.log(2) / counted}


BitsPerByte.examples = (BitsPerByte(span=9, last=5, windows=4),)
