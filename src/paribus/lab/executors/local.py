"""Worker processes on this machine, one torch thread each on a CPU, one per GPU.

Two one-thread processes finish more training than one two-thread process, and a worker that is killed takes nothing
with it: its cell goes to a new one, which goes on from the last checkpoint.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from paribus.core.errors import CellFailed, ConfigError
from paribus.lab.cell import Cell
from paribus.lab.executors.base import (
    TRIES,
    Again,
    Event,
    Executor,
    Finished,
    Progress,
    failure,
    left_behind,
    patience_of,
    request,
    spell,
    thread_variables,
)
from paribus.lab.folder import CELLS

LOOK_EVERY = 1.0  # seconds between two looks for silent workers
STOPPED = 10.0  # seconds without a look, after which this process itself must have been stopped
START = 300.0  # seconds that a new worker may take to load what it needs
LAST_WORDS = 12  # lines of a worker's stderr that are told when it ends badly


class LocalExecutor(Executor):
    """`jobs` worker processes, started when the first cell needs them; one that dies or hangs is replaced."""

    def __init__(self, jobs: int, settings: Mapping[str, Any]) -> None:
        self.jobs, self.settings = jobs, dict(settings)
        self.cells = Path(self.settings["folder"]) / CELLS
        self.patience = patience_of(settings)
        self.workers: list[_Process] = []
        self.inbox: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()
        self.lost: Counter[str] = Counter()  # digest -> how many workers
        self.looked = time.monotonic()

    def run(self, cells: Sequence[Cell], rates: Mapping[str, float]) -> Iterator[Event]:
        waiting = deque(cells)
        ours = {cell.digest for cell in cells}
        finished: set[str] = set()
        while len(self.workers) < min(self.jobs, len(cells)):
            self.workers.append(_Process(self.settings, len(self.workers), self.inbox))
        busy: dict[_Process, Cell] = {}

        def ready(cell: Cell) -> bool:
            needed = None if cell.weights is None else cell.weights.lead.digest
            return needed not in ours or needed in finished

        while waiting or busy:
            for worker in [one for one in self.workers if one not in busy]:
                cell = next((one for one in waiting if ready(one)), None)
                if cell is None:
                    break
                waiting.remove(cell)
                busy[worker] = cell
                worker.ask(cell, rates)
            worker, message, why = self._next(busy)
            if worker not in self.workers:
                continue  # a last word of one that was replaced
            if message is None:
                lost = busy.pop(worker, None)
                self._replace(worker)
                if lost is None:
                    continue
                result = left_behind(self.cells, lost)
                if result is None:
                    self._count(lost, worker, why)
                    waiting.appendleft(lost)
                    yield Again(lost, why)
                else:
                    finished.add(lost.digest)
                    yield Finished(lost, result)
                continue
            worker.heard(message)
            if "error" in message:
                raise failure(message, None if message["cell"] is None else busy[worker])
            cell = busy[worker]
            if "result" in message:
                del busy[worker]
                finished.add(cell.digest)
                yield Finished(cell, message["result"])
            elif "done" in message:
                yield Progress(cell, message["done"], message["of"])

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    def _next(self, busy: Mapping["_Process", Cell]) -> tuple["_Process", dict[str, Any] | None, str]:
        """The next message of a worker; None instead of one from a worker that is lost, and why."""
        while True:
            now = time.monotonic()
            if now - self.looked > STOPPED:  # Ctrl-Z, or a machine that slept: everybody's time begins anew
                for worker in self.workers:
                    worker.last_heard = now
            self.looked = now
            try:
                worker, message = self.inbox.get(timeout=LOOK_EVERY)
            except queue.Empty:
                for worker, cell in busy.items():
                    limit = self.patience.limit(cell)
                    if limit is not None and worker.silence() > (limit if worker.awake else max(limit, START)):
                        return worker, None, self.patience.spell(cell)
                continue
            return worker, message, "" if message is not None else worker.end()

    def _replace(self, worker: "_Process") -> None:
        worker.stop()
        worker.overhearing.join(timeout=5)
        self.workers[self.workers.index(worker)] = _Process(self.settings, worker.number, self.inbox)

    def _count(self, cell: Cell, worker: "_Process", why: str) -> None:
        """Note that a cell has lost its worker; the last time is an error."""
        self.lost[cell.digest] += 1
        if (times := self.lost[cell.digest]) < TRIES:
            return
        kept = "finished cells are kept, and the same command goes on from them"
        at = f"{spell(cell)}, {times} times"
        if why == KILLED:
            raise CellFailed(
                f"a worker was killed while it worked on {at}, which mostly means that memory ran out: use fewer "
                f"--jobs, or close other programs; {kept}"
            )
        last = "".join(f"\n  {line}" for line in worker.errors)
        if why.startswith(ENDED):
            words = (
                f"Its last words:{last}" if last else "It left no words: look for os._exit or a crash in native code"
            )
            raise CellFailed(f"a worker {why} while it worked on {at}; {kept}. {words}")
        raise CellFailed(
            f"a worker was stopped while it worked on {at}, since {why}: if the cell is that slow, give it a longer "
            f"--timeout SECONDS; if it hangs, look for a loop or a lock in its model, data or metric; {kept}"
            + (f". Its last words:{last}" if last else "")
        )


KILLED = "was killed"
ENDED = "ended with code "


def own_variables(settings: Mapping[str, Any], number: int) -> dict[str, str]:
    """The environment variables of worker `number` on this machine: its threads, and the GPUs that it sees.

    One GPU, or one for each of the processes that train together.
    """
    variables = thread_variables(settings)
    if settings["device"] == "cuda":
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = given.split(",") if given else [str(i) for i in range(settings["gpus"])]
        each = settings.get("processes", 1)
        own = [gpus[(number * each + i) % len(gpus)] for i in range(each)]
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return variables


class _Process:
    """One worker process and the threads that listen to it."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        number: int,
        inbox: "queue.Queue[tuple[_Process, dict[str, Any] | None]]",
    ) -> None:
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "paribus.lab.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, **own_variables(settings, number)},
                start_new_session=True,  # Ctrl-C goes to the parent alone, which then stops its workers
            )
        except OSError as error:
            raise ConfigError(f"cannot start a worker process ({error}): use fewer --jobs") from error
        self.number = number
        self.last_heard = time.monotonic()
        self.awake = False  # whether it has ever said anything
        self.errors: deque[str] = deque(maxlen=LAST_WORDS)
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()
        self.overhearing = threading.Thread(target=self._overhear, daemon=True)
        self.overhearing.start()
        self._write({"settings": dict(settings)})

    def ask(self, cell: Cell, rates: Mapping[str, float]) -> None:
        self.last_heard = time.monotonic()
        self._write(request(cell, rates))

    def heard(self, message: Mapping[str, Any]) -> None:
        self.last_heard, self.awake = time.monotonic(), True

    def silence(self) -> float:
        return time.monotonic() - self.last_heard

    def end(self) -> str:
        """How a process whose stdout has ended came to its end."""
        code = self.process.wait()
        return KILLED if code == -signal.SIGKILL else f"{ENDED}{code}"

    def stop(self) -> None:
        """Kill it with all that it has started, and wait for it."""
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            below = []
        self.process.kill()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)  # one that the system itself holds dies when it lets go
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; the listener says so

    def _listen(self, inbox: "queue.Queue[tuple[_Process, dict[str, Any] | None]]") -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                inbox.put((self, json.loads(line)))
        except ValueError:
            pass  # closed under us by stop(), or a broken last line of a dying worker
        inbox.put((self, None))

    def _overhear(self) -> None:
        assert self.process.stderr is not None
        try:
            for line in self.process.stderr:
                self.errors.append(line.rstrip())
        except ValueError:
            pass
