"""Progress of a run with the time left: a live line on a terminal, a line every ten seconds in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from paribus.lab.estimate import Estimate
from paribus.lab.run import Watch

LOG_EVERY = 10.0  # seconds


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Display:
    """FLOPs done out of FLOPs planned; cells cost very different times, so counting cells would mislead."""

    def __init__(self, console: Console, cost: Estimate) -> None:
        self.console, self.total = console, max(cost.flops, 1.0)
        self.live = console.is_terminal
        self.began = self.logged = time.monotonic()
        self.expected = cost.seconds
        self.name = ""
        self.bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=console,
            speed_estimate_period=90,
        )
        self.task = self.bar.add_task("starting", total=self.total)
        self.watch = Watch(stage=self._stage, progress=self._progress, note=self._note)

    def __enter__(self) -> Self:
        if self.live:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._progress(self.total, 0.0)
        if self.live:
            self.bar.stop()

    def _stage(self, name: str, cells: int) -> None:
        self.name = name
        self.bar.update(self.task, description=name)
        if not self.live:
            self.console.print(f"{name}: {cells} cells to compute")

    def _progress(self, flops: float, found: float) -> None:
        self.bar.update(self.task, completed=min(flops, self.total))
        now = time.monotonic()
        if self.live or now - self.logged < LOG_EVERY:
            return
        self.logged = now
        share = min(1.0, flops / self.total)
        fresh = flops - found
        left = (self.total - flops) * (now - self.began) / fresh if fresh > 0 else self.expected
        told = "" if left is None else f", {clock(max(0.0, left))} left"
        self.console.print(f"{self.name}: {share:4.0%} after {clock(now - self.began)}{told}")

    def _note(self, text: str) -> None:
        self.console.print(text)
