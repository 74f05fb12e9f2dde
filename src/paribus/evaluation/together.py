"""Several metrics of one model, each under its own names."""

from typing import ClassVar

from torch import nn

from paribus.core.config import require
from paribus.data.batch import Batch
from paribus.data.source import Source
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.answers import Answers
from paribus.evaluation.base import Metric
from paribus.evaluation.last_tokens import LastTokens


class Together(Metric):
    """All are given the same windows, as many as each of them asks for."""

    source: ClassVar[str] = ""
    metrics: tuple[Metric, ...]

    def check(self) -> None:
        require(len(self.metrics) >= 1, "metrics = (): expected at least one")
        asked = {metric.windows for metric in self.metrics}
        require(
            asked == {self.windows},
            f"windows = {self.windows}, and the metrics ask for {sorted(asked)}: say the same number to all",
        )
        names = self.names()
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"two metrics give {', '.join(twice)}: leave one away")

    @property
    def longest(self) -> int:
        return max(metric.longest for metric in self.metrics)

    def names(self) -> tuple[str, ...]:
        return tuple(name for metric in self.metrics for name in metric.names())

    def unit(self, name: str) -> str:
        return self._whose(name).unit(name)

    def lower_is_better(self, name: str) -> bool:
        return self._whose(name).lower_is_better(name)

    def worst(self, name: str, source: Source) -> float:
        return self._whose(name).worst(name, source)

    def tokens_read(self) -> int:
        return sum(metric.tokens_read() for metric in self.metrics)

    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        width = windows.tokens.shape[1]
        require(
            width >= self.longest,
            f"windows of {width} tokens, and {self.longest} are to be read: ask for longer windows",
        )
        found: dict[str, float] = {}
        for metric in self.metrics:
            found |= metric.measure(model, windows, dtype)
        return found

    def _whose(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if name in metric.names())


Together.examples = (
    Together(
        metrics=(LastTokens(last=2, at=(5,), windows=4), Answers(task=Copy(vocab_size=11), length=7, windows=4)),
        windows=4,
    ),
)
