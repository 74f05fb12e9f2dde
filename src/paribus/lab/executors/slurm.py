"""Cells as SLURM jobs, by submitit: one job a cell.

Partition, account, memory and the like are given by sbatch's own variables (SBATCH_PARTITION, SBATCH_ACCOUNT,
SBATCH_MEM_PER_CPU, SBATCH_TIMELIMIT, ...), which sbatch puts above what stands in a job's script. A job that is
preempted, or that comes to its time limit, is put back into the queue and goes on from its last checkpoint.
"""

import importlib
import os
import re
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paribus.core.errors import ConfigError, optional
from paribus.lab.executors.base import thread_variables
from paribus.lab.executors.spread import Cluster, Lost, SpreadExecutor
from paribus.lab.remote import answer_to

EXTRA = "slurm"
JOBS = "slurm"  # folder of the jobs' files, inside the run folder
LOOK_EVERY, LOOKS = 0.5, 6  # seconds between two looks for ended jobs, and how many looks a call takes
MINUTES = 24 * 60  # a job's time limit where SBATCH_TIMELIMIT names none
OF_THE_CLUSTER = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"}  # all else that begins with SLURM_ is of a job
TIMEOUTS = 10  # how often a job may come to its time limit and go on


def cell_job(text: str) -> str:
    """What submitit runs in a job: it knows a function by its name, and this one by what it does at a time limit."""
    return answer_to(text)


def _go_on(text: str) -> Any:
    return importlib.import_module("submitit").helpers.DelayedSubmission(cell_job, text)


cell_job.checkpoint = _go_on  # type: ignore[attr-defined]


class SlurmCluster(Cluster):
    """kind: submitit's name of a cluster: "slurm", or "local" and "debug" to take the same way on one machine."""

    def __init__(self, settings: Mapping[str, Any], kind: str = "slurm") -> None:
        submitit: Any = optional("submitit", EXTRA)
        self.refusal: type[Exception] = submitit.core.utils.FailedJobError
        self.folder = Path(settings["folder"]) / JOBS
        try:
            self.executor = submitit.AutoExecutor(self.folder, cluster=kind, slurm_max_num_timeout=TIMEOUTS)
        except RuntimeError as error:
            raise ConfigError(
                "there is no SLURM on this machine (no srun): start the run on a machine of the cluster, or take "
                "--executor local"
            ) from error
        variables = thread_variables(settings)
        processes = settings.get("processes", 1)
        self.executor.update_parameters(
            name="paribus",
            timeout_min=minutes(os.environ.get("SBATCH_TIMELIMIT")),
            cpus_per_task=settings["threads"] * processes,
            gpus_per_node=processes * int(settings["device"] == "cuda"),
            slurm_setup=[f"export {name}={value}" for name, value in variables.items()],
            slurm_srun_args=[
                f"--cpus-per-task={settings['threads'] * processes}"
            ],  # srun does not take it over from sbatch
        )
        self.at_work: list[Any] = []

    def send(self, text: str) -> Hashable:
        try:
            with _outside_of_any_job():
                job = self.executor.submit(cell_job, text)
        except self.refusal as error:
            raise ConfigError(
                f"sbatch refused a job: {error}. Say what your cluster asks for by sbatch's variables: "
                "SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_QOS, SBATCH_TIMELIMIT, SBATCH_MEM_PER_CPU"
            ) from error
        self.at_work.append(job)
        ticket: Hashable = job.job_id
        return ticket

    def cancel(self, ticket: Hashable) -> None:
        for job in [one for one in self.at_work if one.job_id == ticket]:
            job.cancel(check=False)
            self.at_work.remove(job)

    def ended(self) -> Sequence[tuple[Hashable, str | Lost]]:
        for _ in range(LOOKS):
            if over := [job for job in self.at_work if job.done()]:
                self.at_work = [job for job in self.at_work if job not in over]
                return [(job.job_id, self._answer(job)) for job in over]
            time.sleep(LOOK_EVERY)
        return []

    def close(self) -> None:
        for job in self.at_work:
            job.cancel(check=False)
        self.at_work = []

    def _answer(self, job: Any) -> str | Lost:
        if job.exception() is not None:
            words = (job.stderr() or "").strip().splitlines()[-3:]
            job.cancel(check=False)  # a job of a dead node may come back by itself, and would meet the next try
            return Lost(f"job {job.job_id}, {job.state}" + "".join(f"\n  {line}" for line in words))
        answer: str = job.result()
        for path in self.folder.glob(f"{job.job_id}_*"):
            path.unlink(missing_ok=True)
        return answer


@contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide the variables of the job that this process itself may be: a new job would inherit its shape."""
    inherited = [name for name in os.environ if name.startswith(("SLURM_", "SRUN_")) and name not in OF_THE_CLUSTER]
    hidden = {name: os.environ.pop(name) for name in inherited}
    try:
        yield
    finally:
        os.environ.update(hidden)


def minutes(limit: str | None) -> int:
    """Minutes of an sbatch time limit: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S, seconds rounded up."""
    if limit is None:
        return MINUTES
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", limit.strip()):
        raise ConfigError(f"SBATCH_TIMELIMIT={limit}: expected minutes, hours:minutes:seconds or days-hours, as sbatch")
    days, _, rest = limit.strip().rpartition("-")
    numbers = [int(field) for field in rest.split(":")]
    if days or len(numbers) == 3:
        hours, whole, seconds = (*numbers, 0, 0)[:3]
    else:
        hours, whole, seconds = (0, *numbers, 0)[:3]
    return max(1, (int(days or 0) * 24 + hours) * 60 + whole + (seconds > 0))


def slurm_executor(jobs: int, settings: Mapping[str, Any]) -> SpreadExecutor:
    return SpreadExecutor(SlurmCluster(settings), jobs, settings)
