"""One cell on some machine of a cluster: a JSON request in, a JSON answer out.

    in   {"settings": {...}, "environment": {...}, "needs": digest or null, "cell": digest, "arm": ..., ...}
    out  {"cell": digest, "result": {...}} or {"cell": digest, "error": text, "exit_code": n}

This is all that a cluster's own machinery has to carry, so that none of our objects is ever pickled. What the machines
must have in common is checked here, before anything is computed: the run folder, and what the bits depend on.
"""

import json
import os
import platform
import time
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from paribus.core.errors import InputError, ParibusError
from paribus.lab.folder import CELLS, PLAN, RESULT
from paribus.lab.worker import Worker

PATIENCE = 90.0  # seconds in which a file written on one machine must show on another: NFS caches for up to 60


def answer_to(text: str) -> str:
    """Compute the cell that a request asks for; whatever goes wrong in it is an answer too."""
    wanted = json.loads(text)
    try:
        message = _answer(wanted)
    except Exception as error:
        code = error.exit_code if isinstance(error, ParibusError) else ParibusError.exit_code
        message = Worker.failure(wanted["cell"], f"a worker on {platform.node()} could not start: {error}", code)
    return json.dumps(message)


def _answer(wanted: dict[str, Any]) -> dict[str, Any]:
    folder = Path(wanted["settings"]["folder"])
    needed = [folder / PLAN]
    if wanted["needs"] is not None:
        needed.append(folder / CELLS / wanted["needs"] / RESULT)
    for path in needed:
        if not appears(path):
            raise InputError(
                f"it does not see {path}: the run folder must be on a file system that all machines share, under the "
                "same path; choose such a place with --out"
            )
    worker = _worker(json.dumps(wanted["settings"], sort_keys=True))
    here, there = asdict(worker.plan.environment), wanted["environment"]
    if here != there:
        unlike = ", ".join(
            f"{name} {here[name]} instead of {there[name]}" for name in here if here[name] != there[name]
        )
        raise InputError(
            f"it has {unlike}, and the bits of a result depend on it: give the run machines of one kind, with the same "
            "packages, and start it on one of them"
        )
    return worker.answer(wanted)


@lru_cache(maxsize=1)
def _worker(settings: str) -> Worker:
    """The worker of this process, kept for its next cell: it has loaded the claim and mapped the corpus."""
    return Worker(json.loads(settings), lambda message: None)


def appears(path: Path) -> bool:
    """Whether a file is there, waiting PATIENCE for it to show on this machine."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            return False
        for parent in list(path.parents)[:3]:
            if parent.is_dir():
                os.listdir(parent)  # makes a network file system look again
        time.sleep(0.5)
    return True
