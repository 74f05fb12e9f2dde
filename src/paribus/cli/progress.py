"""Progress of a run with the time left: a live line on a terminal, a line every ten seconds in a log."""

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from paribus.lab.estimate import Estimate
from paribus.lab.pace import Standing
from paribus.lab.run import Watch

LOG_EVERY = 10.0  # seconds


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Display:
    """The share of the run's seconds that is done, and those that are left, by what cells took so far."""

    def __init__(self, console: Console, cost: Estimate) -> None:
        self.console, self.live = console, console.is_terminal
        self.began = self.logged = self.heard = time.monotonic()
        self.standing = Standing(0.0, cost.seconds)
        self.name = "starting"
        self.bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            _Left(self),
            console=console,
        )
        self.task = self.bar.add_task(self.name, total=100)
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.watch = Watch(stage=self._stage, progress=self._progress, note=self._note)

    def __enter__(self) -> Self:
        if self.live:
            self.bar.start()
        else:
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        if kind is None:
            self.bar.update(self.task, completed=100)
        if self.live:
            self.bar.stop()

    def left(self) -> str:
        """The time left in words; never nothing while something remains. What takes longer than it should is told to
        take on, the longer the more."""
        if self.standing.left is None:
            return ""
        since = time.monotonic() - self.heard
        return f"{clock(max(self.standing.left - since, since / 4, 1.0))} left"

    def _stage(self, name: str, cells: int) -> None:
        self.name = name
        self.bar.update(self.task, description=name)
        if not self.live:
            self.console.print(f"{name}: {cells} cells to compute")

    def _progress(self, standing: Standing) -> None:
        self.standing, self.heard = standing, time.monotonic()
        self.bar.update(self.task, completed=self._percent())
        self._log()

    def _percent(self) -> int:
        """100 when all is done, and not before."""
        return int(100 * self.standing.share)

    def _log(self) -> None:
        with self.lock:
            now = time.monotonic()
            if self.live or now - self.logged < LOG_EVERY:
                return
            self.logged = now
        told = ", ".join(filter(None, (f"{self._percent():3d}% after {clock(now - self.began)}", self.left())))
        self.console.print(f"{self.name}: {told}")

    def _tick(self) -> None:
        """Lines for a log, also while no cell has anything to tell."""
        while not self.ended.wait(LOG_EVERY):
            self._log()

    def _note(self, text: str) -> None:
        self.console.print(text)


class _Left(ProgressColumn):
    def __init__(self, display: Display) -> None:
        super().__init__()
        self.display = display

    def render(self, task: Task) -> Text:
        return Text("" if task.finished else self.display.left())
