"""Pictures of the widths that a task is trained on, and of widths that training never shows.

loss@seen, loss@unseen in nats per token;  accuracy@seen, accuracy@unseen in [0, 1]; over the task's targets
"""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.continuation import bytes_of
from paribus.data.source import Source, Stream
from paribus.data.synthetic.base import SyntheticStream
from paribus.data.synthetic.patch_above import PatchAbove
from paribus.evaluation.base import Metric
from paribus.evaluation.score import score


class GridWidths(Metric):
    """Half of the windows are of the stream's own task, half of the same task with the widths `unseen`.

    So an arm that reads pictures written in a way of its own is asked in that way. unseen: widths that the task does
    not train on. length: tokens of a row. windows: an even number.
    """

    source: ClassVar[str] = PatchAbove.source
    unseen: tuple[int, ...]
    length: int

    def check(self) -> None:
        require(self.length >= 1, f"length = {self.length}: expected at least 1 token")
        require(
            self.windows >= 2 and self.windows % 2 == 0,
            f"windows = {self.windows}: expected an even number of at least 2, half of them of unseen widths",
        )

    @property
    def longest(self) -> int:
        return self.length

    def names(self) -> tuple[str, ...]:
        return ("loss@seen", "accuracy@seen", "loss@unseen", "accuracy@unseen")

    def unit(self, name: str) -> str:
        return "nats per token" if name.startswith("loss@") else "share of tokens"

    def lower_is_better(self, name: str) -> bool:
        return name.startswith("loss@")

    def worst(self, name: str, source: Source) -> float:
        return math.log(source.vocab_size) if name.startswith("loss@") else source.chance

    def held_out(self, stream: Stream, split: str = "test") -> Batch:
        task = stream.task if isinstance(stream, SyntheticStream) else None
        require(
            isinstance(task, PatchAbove),
            f"{type(stream).__name__}: GridWidths asks about the pictures of PatchAbove, not of another source",
        )
        assert isinstance(task, PatchAbove)
        both = sorted(set(task.widths) & set(self.unseen))
        require(not both, f"unseen = {self.unseen}: the task trains on the widths {both}; leave them out of one")
        wider = replace(task, widths=self.unseen).prepare()
        seen, unseen = (one.windows(split, self.windows // 2, self.length) for one in (stream, wider))
        return Batch(
            np.concatenate((seen.tokens, unseen.tokens)),
            np.concatenate((seen.targets, unseen.targets)),
            digest_of(bytes_of(seen.digest), bytes_of(unseen.digest)),
        )

    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        tokens, targets = torch.from_numpy(windows.tokens), torch.from_numpy(windows.targets)
        require(
            tokens.shape[1] >= self.length,
            f"windows of {tokens.shape[1]} tokens, and {self.length} are to be read: ask for longer windows",
        )
        found: dict[str, float] = {}
        for name, rows in (("seen", slice(0, len(tokens) // 2)), ("unseen", slice(len(tokens) // 2, None))):
            counted = int((targets[rows] != IGNORED).sum())
            loss, hits = score(model, tokens[rows], targets[rows], None, dtype)
            found |= {f"loss@{name}": loss / counted, f"accuracy@{name}": hits / counted}
        return found


GridWidths.examples = (GridWidths(unseen=(4,), length=9, windows=4),)
