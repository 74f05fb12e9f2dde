"""SLURM by submitit: its own local cluster, and a SLURM of four scripts that shows what sbatch is given."""

import itertools
import os
import sys
import time
from pathlib import Path

import pytest

from paribus.core.errors import CellFailed, ConfigError, MissingExtra
from paribus.lab.executors.base import TRIES, Again, Finished, Patience
from paribus.lab.executors.slurm import JOBS, SlurmCluster, minutes, slurm_executor
from paribus.lab.executors.spread import SpreadExecutor

# What this project asks of SLURM, on one machine. JobID|State|NodeList is what submitit asks sacct for.
SBATCH = """#!/bin/bash
id=$(($FIRST + $(ls $HERE/*.sh 2>/dev/null | wc -l)))
cp "$1" $HERE/$id.sh
env > $HERE/$id.env
(SLURM_JOB_ID=$id SLURM_JOB_NODELIST=here bash $HERE/$id.sh >/dev/null 2>&1; echo $? > $HERE/$id.rc) >/dev/null 2>&1 &
echo "Submitted batch job $id"
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in --output) out=$2; shift;; --error) err=$2; shift;; esac
  shift
done
name() { sed "s/%j/$SLURM_JOB_ID/g; s/%t/0/g" <<< "$1"; }
"$@" > $(name "$out") 2> $(name "$err") &
echo $! > $HERE/$SLURM_JOB_ID.pid
wait $!
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
while [[ $# -gt 0 ]]; do
  if [[ $1 == -j ]]; then
    state=RUNNING
    [[ -f $HERE/$2.rc ]] && state=OUT_OF_MEMORY
    [[ $(cat $HERE/$2.rc 2>/dev/null) == 0 ]] && state=COMPLETED
    echo "$2|$state|here"
    shift
  fi
  shift
done
"""
SCANCEL = """#!/bin/bash
kill -9 $(cat $HERE/$1.pid) 2>/dev/null
echo $1 >> $HERE/cancelled
"""
FIRST_JOBS = itertools.count(1000, 1000)  # submitit remembers the jobs that it has seen
pytest.importorskip("submitit", reason="the extra is not installed: pip install 'paribus[slurm]'")


@pytest.fixture(autouse=True)
def _files_show_at_once(monkeypatch):
    """submitit waits for the files of a job that has ended, for network file systems."""
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder in which a SLURM of scripts keeps what it was given, and the number of its first job."""
    here = tmp_path / "slurm-of-scripts"
    here.mkdir()
    first = next(FIRST_JOBS)
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        (here / name).write_text(text.replace("$HERE", str(here)).replace("$FIRST", str(first)))
        (here / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    return here, first


@pytest.fixture
def on(losses, settings_of, tmp_path):
    """on(kind, jobs) -> (executor, cells by arm), closed at the end."""
    executors = []

    def on(kind, jobs=2):
        path, cells = losses
        settings = settings_of(path, tmp_path / "run")
        executors.append(SpreadExecutor(SlurmCluster(settings, kind), jobs, settings))
        return executors[-1], cells

    yield on
    for executor in executors:
        executor.close()


@pytest.mark.slow
def test_the_grid_on_submitits_local_cluster(grid):
    grid.only = ("train", "rotary", 0), ("read", "rotary", 0), ("train", "none", 0)
    grid.run(lambda settings: SpreadExecutor(SlurmCluster(settings, "local"), 2, settings))
    jobs = Path(grid.settings["folder"]) / JOBS
    assert not list(jobs.glob("*.pkl")), "the files of finished jobs are removed"


@pytest.mark.slow
def test_a_killed_job_is_sent_again(on, tmp_path):
    executor, cells = on("local")
    events = list(executor.run([cells["once"], cells["preempted"]], {}))
    assert {event.cell.arm: event.result["metrics"] for event in events if isinstance(event, Finished)} == {
        "once": {"x": 0.0},
        "preempted": {"x": 0.0},
    }
    assert executor.lost == {cells["once"].digest: 1}, "a job that is preempted comes back by itself"
    assert {(tmp_path / name).stat().st_size for name in ("once", "preempted")} == {2}


@pytest.mark.slow
def test_a_job_that_hangs_is_cancelled_and_sent_again(on, slurm, tmp_path):
    executor, cells = on("slurm")
    executor.patience = Patience(timeout=3.0, speed=None)
    first, second = executor.run([cells["hangs once"]], {})
    assert first == Again(cells["hangs once"], "it said nothing for 3 seconds, the --timeout")
    assert second.result["metrics"] == {"x": 0.0}
    assert (tmp_path / "hangs once").stat().st_size == 2
    here, job = slurm
    assert (here / "cancelled").read_text().split() == [str(job)]


@pytest.mark.slow
def test_a_job_that_is_always_killed(on, slurm, tmp_path):
    executor, cells = on("slurm")
    with pytest.raises(CellFailed, match=r"(?s)was lost 3 times.*OUT_OF_MEMORY\n.*last words of a worker"):
        list(executor.run([cells["always"]], {}))
    assert (tmp_path / "always").stat().st_size == TRIES


@pytest.mark.slow
def test_close_cancels(on, slurm, tmp_path):
    """On SLURM by scancel, before the end of a run and after an error."""
    here, first = slurm
    executor, cells = on("slurm")
    with pytest.raises(CellFailed, match="no such luck"):
        list(executor.run([cells["waits"], cells["raises"]], {}))
    until = time.monotonic() + 60
    while not (tmp_path / "waits").exists() and time.monotonic() < until:
        time.sleep(0.1)
    executor.close()
    assert (here / "cancelled").read_text().split() == [str(first)]
    while not (here / f"{first}.rc").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert (here / f"{first}.rc").read_text() == "137\n"


@pytest.mark.slow
def test_the_grid_as_slurm_jobs(grid, slurm, monkeypatch):
    monkeypatch.setenv("SBATCH_TIMELIMIT", "1:30:00")
    monkeypatch.setenv("SBATCH_PARTITION", "small")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")  # of the job in which the run itself may be
    grid.only = ("train", "rotary", 0), ("read", "rotary", 0)
    grid.run(lambda settings: slurm_executor(2, settings))
    assert os.environ["SLURM_CPUS_PER_TASK"] == "7"
    here, first = slurm
    script, given = (here / f"{first}.sh").read_text(), (here / f"{first}.env").read_text()
    for line in ("#SBATCH --time=90", "#SBATCH --cpus-per-task=1", "#SBATCH --job-name=paribus"):
        assert line in script.splitlines()
    assert "export OMP_NUM_THREADS=1" in script.splitlines()
    assert "SBATCH_PARTITION=small" in given
    assert "SLURM_CONF=/etc/slurm.conf" in given
    assert "SLURM_CPUS_PER_TASK" not in given


def test_a_job_that_is_refused(on, slurm):
    (slurm[0] / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    executor, cells = on("slurm")
    with pytest.raises(ConfigError, match=r"invalid partition specified: x.*SBATCH_PARTITION"):
        list(executor.run([cells["works"]], {}))


def test_a_machine_without_slurm(settings_of, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no SLURM on this machine"):
        slurm_executor(1, settings_of("x", tmp_path))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, 1440), ("90", 90), ("90:30", 91), ("2:00:00", 120), ("1-0", 1440), ("1-2:30", 1590),
        ("2-03:04:05", 3065), ("0:10", 1), (" 7 ", 7),
    ],
)  # fmt: skip
def test_time_limits_as_sbatch_reads_them(limit, expected):
    assert minutes(limit) == expected


@pytest.mark.parametrize("limit", ["", "soon", "1:2:3:4", "1-", "-1", "1.5"])
def test_time_limits_that_are_none(limit):
    with pytest.raises(ConfigError, match="SBATCH_TIMELIMIT"):
        minutes(limit)


def test_a_missing_extra_is_named(settings_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingExtra, match=r"pip install 'paribus\[slurm\]'"):
        slurm_executor(1, settings_of("x", tmp_path))
