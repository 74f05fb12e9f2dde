"""Loss and accuracy on held-out questions of a task of its own, whatever else the model was trained on.

loss@questions = mean -ln p(answer), nats per token;  accuracy@questions in [0, 1], over the targets of the task
"""

import math
from typing import ClassVar

import torch
from torch import nn

from paribus.core.config import require
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Source
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.base import Metric
from paribus.evaluation.score import score


class Answers(Metric):
    """`task` draws its own questions, as many as there are windows, in rows of `length` tokens; it reads no corpus."""

    source: ClassVar[str] = ""
    task: Source
    length: int

    def check(self) -> None:
        require(self.length >= 1, f"length = {self.length}: expected at least 1 token")
        require(self.windows >= 1, f"windows = {self.windows}: expected at least 1")

    @property
    def longest(self) -> int:
        return 1  # the text that other metrics read is not read here

    def names(self) -> tuple[str, ...]:
        return ("loss@questions", "accuracy@questions")

    def unit(self, name: str) -> str:
        return "nats per token" if name.startswith("loss@") else "share of tokens"

    def lower_is_better(self, name: str) -> bool:
        return name.startswith("loss@")

    def worst(self, name: str, source: Source) -> float:
        return math.log(source.vocab_size) if name.startswith("loss@") else self.task.chance

    def tokens_read(self) -> int:
        return self.windows * self.length

    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        require(windows.tokens.shape[1] >= 1, "windows of 0 tokens, and 1 are to be read: ask for longer windows")
        stream = self.task.prepare()
        require(stream.path is None, f"{type(self.task).__name__} reads a corpus: ask a task that draws its questions")
        asked = stream.windows("test", count=self.windows, length=self.length)
        targets = torch.from_numpy(asked.targets)
        counted = int((targets != IGNORED).sum())
        loss, hits = score(model, torch.from_numpy(asked.tokens), targets, asked.prefix, dtype)
        return {"loss@questions": loss / counted, "accuracy@questions": hits / counted}


Answers.examples = (Answers(task=Copy(vocab_size=11), length=7, windows=4),)
