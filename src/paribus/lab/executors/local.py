"""Worker processes on this machine, one torch thread each on a CPU, one per GPU.

Two one-thread processes finish more training than one two-thread process, and a worker that is killed takes nothing
with it but its cell.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from paribus.core.errors import CellFailed, ConfigError
from paribus.lab.cell import Cell
from paribus.lab.executors.base import Executor, Finished, Progress, failure, request, spell, thread_variables


class LocalExecutor(Executor):
    """`jobs` worker processes, started when the first cell needs them."""

    tail_lines: ClassVar[int] = 12

    def __init__(self, jobs: int, settings: Mapping[str, Any]) -> None:
        self.jobs, self.settings = jobs, dict(settings)
        self.workers: list[_Process] = []
        self.inbox: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()

    def run(self, cells: Sequence[Cell], rates: Mapping[str, float]) -> Iterator[Progress | Finished]:
        waiting = deque(cells)
        ours = {cell.digest for cell in cells}
        finished: set[str] = set()
        while len(self.workers) < min(self.jobs, len(cells)):
            self.workers.append(_Process(self.settings, len(self.workers), self.inbox))
        busy: dict[_Process, Cell] = {}

        def ready(cell: Cell) -> bool:
            return cell.weights is None or cell.weights.digest not in ours or cell.weights.digest in finished

        while waiting or busy:
            for worker in [one for one in self.workers if one not in busy]:
                cell = next((one for one in waiting if ready(one)), None)
                if cell is None:
                    break
                waiting.remove(cell)
                busy[worker] = cell
                worker.ask(cell, rates)
            worker, message = self.inbox.get()
            if message is None:
                raise self._death(worker, busy.get(worker))
            if "error" in message:
                raise failure(message, None if message["cell"] is None else busy[worker])
            cell = busy[worker]
            if "result" in message:
                del busy[worker]
                finished.add(cell.digest)
                yield Finished(cell, message["result"])
            else:
                yield Progress(cell, message["done"], message["of"])

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    def _death(self, worker: "_Process", cell: Cell | None) -> CellFailed:
        code = worker.process.wait()
        doing = "before its first cell" if cell is None else f"while it worked on {spell(cell)}"
        kept = "finished cells are kept, and the same command goes on from them"
        if code == -signal.SIGKILL:
            return CellFailed(
                f"a worker was killed {doing}, which mostly means that memory ran out: use fewer --jobs, or close "
                f"other programs; {kept}"
            )
        worker.overhearing.join(timeout=5)
        last = "\n".join(worker.errors)
        return CellFailed(f"a worker ended with code {code} {doing}; {kept}. Its last words:\n{last}")


def own_variables(settings: Mapping[str, Any], number: int) -> dict[str, str]:
    """The environment variables of worker `number` on this machine: its threads, and the one GPU that it sees."""
    variables = thread_variables(settings)
    if settings["device"] == "cuda":
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = given.split(",") if given else [str(i) for i in range(settings["gpus"])]
        variables["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
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
        self.errors: deque[str] = deque(maxlen=LocalExecutor.tail_lines)
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()
        self.overhearing = threading.Thread(target=self._overhear, daemon=True)
        self.overhearing.start()
        self._write({"settings": dict(settings)})

    def ask(self, cell: Cell, rates: Mapping[str, float]) -> None:
        self._write(request(cell, rates))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
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
