"""One training carried out by several processes: the worker starts torchrun, which starts this module once a process.

    worker -> torchrun -> rank 0, 1, ...: FSDP2 shards the model over them, DCP keeps it while it trains

Every rank builds the cell from the claim itself. Rank 0 alone writes, and tells on its stdout, as JSON lines:
{"cell": digest, "done": k, "of": n}, then {"result": {...}} or {"error": text, "exit_code": n}. Ranks end when their
worker does.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from paribus.core.errors import ParibusError
from paribus.lab.stdout import private_stdout

CARRIED = "PARIBUS_CELL"  # the variable by which a rank knows its cell
LOST = 70  # exit code of a worker whose ranks have died
LAST_WORDS = 12  # lines


def under_torchrun(settings: dict[str, Any], wanted: dict[str, Any], processes: int, tell: Any) -> dict[str, Any]:
    """The result of a cell, computed by `processes` ranks. Ranks that die take this process with them, and whoever
    started it tries the cell again. Raises the error that the cell itself met."""
    from paribus.lab.executors.base import failure  # loads torch, which a rank must not before its stdout is private

    me = psutil.Process()
    carried = {"settings": settings, "wanted": wanted, "worker": me.pid, "began": me.create_time()}
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={processes}"]
    # An address of this machine alone, and a port that is free.
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "-m", __name__]
    ranks = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, CARRIED: json.dumps(carried)},
    )
    assert ranks.stdout is not None
    assert ranks.stderr is not None
    last: deque[str] = deque(maxlen=LAST_WORDS)
    overhearing = threading.Thread(target=lambda lines: last.extend(map(str.rstrip, lines)), args=(ranks.stderr,))
    overhearing.start()
    answer: dict[str, Any] = {}
    for line in ranks.stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue  # printed by a user's model
        if not isinstance(message, dict):
            continue
        if "done" in message:
            tell(message["done"], message["of"])
        elif "result" in message or "error" in message:
            answer = message
    ranks.wait()
    overhearing.join()
    if "error" in answer:
        raise failure(answer, None)
    if "result" not in answer:
        sys.stderr.write("\n".join(["one of the processes of this training died:", *last]) + "\n")
        sys.stderr.flush()
        os._exit(LOST)
    result: dict[str, Any] = answer["result"]
    return result


def main() -> None:
    """One rank."""
    carried = json.loads(os.environ[CARRIED])
    threading.Thread(target=_end_with, args=(carried["worker"], carried["began"]), daemon=True).start()
    rank = int(os.environ["RANK"])
    protocol = private_stdout()

    def say(message: dict[str, Any]) -> None:
        if rank == 0:
            protocol.write(json.dumps(message) + "\n")
            protocol.flush()

    try:
        say({"result": _carry_out(carried["settings"], carried["wanted"], rank, say)})
    except (Exception, SystemExit) as error:
        # The same on every rank, but for those that rank 0 alone can meet.
        if of_a_peer(error):
            raise
        text, code = _told(error)
        say({"error": text, "exit_code": code})
        if rank == 0:
            os._exit(1)
        time.sleep(5)  # let rank 0 tell of it first
        raise
    # A thread of gloo's may still hold the tensors of the last collective. Freeing them while the interpreter shuts
    # down aborts the process, and torchrun would end rank 0 before it has told: so leave without shutting it down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _told(error: BaseException) -> tuple[str, int]:
    """An error in words, and its exit code."""
    if isinstance(error, ParibusError):
        return str(error), error.exit_code
    if isinstance(error, SystemExit):
        from paribus.lab.worker import exited

        return exited(error), ParibusError.exit_code
    return f"{type(error).__name__}: {error}", ParibusError.exit_code


def of_a_peer(error: BaseException) -> bool:
    """Whether an error says that another rank is gone, rather than what is wrong with the cell."""
    import torch.distributed as dist

    network = isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL", "TCPStore"))
    return network or isinstance(error, dist.DistError)


def _end_with(worker: int, began: float) -> None:
    while True:
        try:
            if psutil.Process(worker).create_time() != began:
                os._exit(1)
        except psutil.NoSuchProcess:
            os._exit(1)
        time.sleep(1.0)


def _carry_out(settings: dict[str, Any], wanted: dict[str, Any], rank: int, say: Any) -> dict[str, Any]:
    import torch
    import torch.distributed as dist
    from filelock import FileLock

    from paribus.lab.claim import Trained
    from paribus.lab.folder import CELLS, LOCKS
    from paribus.lab.together import sweep, train_together
    from paribus.lab.work import do
    from paribus.lab.worker import Worker, find_cell

    gpu = settings["device"] == "cuda"
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    worker = Worker(settings, say)
    cell = find_cell(worker.plan, wanted)
    task, stream = worker.read_by(cell.arm)
    assert isinstance(task, Trained)
    assert stream is not None
    cells = Path(settings["folder"]) / CELLS
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        seconds: float = settings["checkpoint_seconds"]
        if rank != 0:
            train_together(cell, task, stream, cells, lambda done, of: None, seconds)
            return {}
        # Taken by the one that writes: ranks of a worker that was killed live a second longer than it.
        with FileLock(cells.parent / LOCKS / cell.digest, timeout=60):
            tell = partial(worker.tell, cell.digest)
            result = do(cell, task, stream, cells, tell, seconds, train_together)
            sweep(cells / cell.digest)
        return result
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
