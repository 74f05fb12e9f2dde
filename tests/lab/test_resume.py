"""Killed at any moment, the same command goes on, and the final numbers are those of a run that was never disturbed.

The claim of these tests is a saboteur: it is imported by the run and by its workers, and when a file of the run is
about to be renamed into place, it sends a signal to whom the file `orders` says.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from paribus.lab.executors.base import TRIES

SABOTEUR = """
import os
import signal
from pathlib import Path

from paribus.lab.load import load

claim = load({tiny!r})[1]
orders = Path(__file__).with_name("orders")
rename = os.replace

def rename_or_die(source, target):
    if orders.exists():
        name, left, who, number, times = orders.read_text().split()
        if Path(target).name == name and int(left) > 0:
            orders.write_text(f"{{name}} {{int(left) - 1}} {{who}} {{number}} {{times}}")
        elif Path(target).name == name:
            if int(times) > 1:
                orders.write_text(f"{{name}} 0 {{who}} {{number}} {{int(times) - 1}}")
            else:
                orders.unlink()
            if who == "group":
                os.killpg(os.getpgid(os.getppid()), int(number))
            else:
                os.kill(os.getpid() if who == "itself" else os.getppid(), int(number))
    rename(source, target)

os.replace = rename_or_die
"""

# A checkpoint after every step, and no probe of this machine's speed before each of the many runs.
COMMAND = """
import signal
import sys
# A runner that was put in the background ignores SIGINT, and its children with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from paribus.cli import conduct
from paribus.cli.main import main
from paribus.lab.estimate import Estimate
conduct.CHECKPOINT_SECONDS = 0.0
conduct.estimate = lambda plan, jobs: Estimate(1.0, 1, 1.0, 1, 1)
sys.argv = ["paribus", "compare", {claim!r}, "--profile", "long", "--jobs", {jobs!r}, "--out", {out!r}]
main()
"""


def start(claim: Path, out: Path, jobs: int = 1) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(claim=str(claim), jobs=str(jobs), out=str(out))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=claim.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, told = process.communicate(timeout=120)
    return process.returncode, told


def no_orphans(folder: Path) -> None:
    """Every worker of the runs in the folder has ended, or does so at once."""
    deadline = time.monotonic() + 20
    while left := [p for p in psutil.process_iter() if is_worker(p, folder)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def is_worker(process: psutil.Process, folder: Path) -> bool:
    try:
        return "paribus.lab.worker" in process.cmdline() and process.cwd() == str(folder)
    except psutil.Error:
        return False


def contents(run: Path) -> dict[str, object]:
    """Everything that must be the same: the files of the run, without what is measured."""
    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name in ("verdict.json", "result.json"):
            found[name] = {k: v for k, v in json.loads(path.read_text()).items() if k != "measured"}
        elif path.is_file() and not name.startswith(("locks/", "report.", ".lock", "run.json")):
            found[name] = path.read_bytes()
    return found


@pytest.fixture
def claim(laboratory, tmp_path):
    path = tmp_path / "work" / "saboteur.py"
    path.parent.mkdir()
    path.write_text(SABOTEUR.format(tiny=str(laboratory.tiny)))
    return path


KEPT = "the same command goes on from them"

# file about to be written, how many of them are let through, who gets which signal how often (a worker that is killed
# is tried again, but TRIES times); the exit code and message of it.
MOMENTS = [
    ("progress.safetensors", 20, "parent", signal.SIGKILL, 1, -9, ""),
    ("progress.safetensors", 0, "itself", signal.SIGKILL, TRIES, 1, "was killed while it worked on training arm"),
    ("progress.safetensors", 7, "group", signal.SIGINT, 1, 130, KEPT),
    ("weights.safetensors", 0, "itself", signal.SIGKILL, TRIES, 1, KEPT),
    ("result.json", 0, "parent", signal.SIGKILL, 1, -9, ""),
    ("cell.json", 2, "parent", signal.SIGKILL, 1, -9, ""),
    ("verdict.json", 0, "itself", signal.SIGKILL, 1, -9, ""),
]


@pytest.mark.slow
def test_a_run_killed_at_every_kind_of_moment_and_tried_twice_at_once(claim, tmp_path):
    code, told = finish(start(claim, tmp_path / "reference" / "run", jobs=2))
    assert code == 12, told
    undisturbed = contents(tmp_path / "reference" / "run")

    out = claim.parent / "run"
    orders = claim.with_name("orders")
    for name, let_through, who, number, times, code, words in MOMENTS:
        orders.write_text(f"{name} {let_through} {who} {int(number)} {times}")
        got, told = finish(start(claim, out))
        assert not orders.exists(), f"{name}: the run ended before its moment: {got} {told}"
        assert (got, words in told) == (code, True), told
        assert told.count("\n") <= 1, told
        no_orphans(claim.parent)
        assert not (out / "verdict.json").exists()
        for result in out.glob("cells/*/result.json"):
            json.loads(result.read_text())
    # The last run is held still while a second one tries the same folder.
    orders.write_text(f"verdict.json 0 itself {int(signal.SIGSTOP)} 1")
    last = start(claim, out)
    while orders.exists():
        assert last.poll() is None, finish(last)
        time.sleep(0.02)
    code, told = finish(start(claim, out))
    assert code == 2
    assert told.count("\n") == 1
    assert f"another run is at work in {out}" in told
    last.send_signal(signal.SIGCONT)
    code, told = finish(last)
    assert code == 12, told
    assert contents(out) == undisturbed
