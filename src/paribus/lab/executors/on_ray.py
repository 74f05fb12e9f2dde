"""Cells as tasks of a Ray cluster: the one that RAY_ADDRESS or `ray start` names, or else a new one on this machine."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from paribus.core.errors import ConfigError, optional
from paribus.lab.executors.base import thread_variables
from paribus.lab.executors.spread import Cluster, Lost, SpreadExecutor
from paribus.lab.remote import answer_to

EXTRA = "ray"
POLL = 1.0  # seconds


class RayCluster(Cluster):
    """Each cell takes as many CPUs as it has threads in all, and whole GPUs if the profile wants some."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.ray: Any = optional("ray", EXTRA)
        self.at_work: list[Any] = []
        self.ours = not self.ray.is_initialized()
        if self.ours:
            # What workers print stays in Ray's own logs: stdout belongs to --json.
            self.ray.init(logging_level=logging.ERROR, log_to_driver=False)
        processes = settings.get("processes", 1)
        gpus = processes * int(settings["device"] == "cuda")
        if gpus > self.ray.cluster_resources().get("GPU", 0):
            self.close()
            raise ConfigError("this profile needs CUDA GPUs and the Ray cluster has none: add some, or take another")
        self.task = self.ray.remote(answer_to).options(
            num_cpus=settings["threads"] * processes,
            num_gpus=gpus,
            max_retries=0,  # the executor counts the tries
            runtime_env={"env_vars": thread_variables(settings)},
        )

    def send(self, text: str) -> Hashable:
        reference = self.task.remote(text)
        self.at_work.append(reference)
        ticket: Hashable = reference
        return ticket

    def cancel(self, ticket: Hashable) -> None:
        self.at_work.remove(ticket)
        self.ray.cancel(ticket, force=True)

    def ended(self) -> Sequence[tuple[Hashable, str | Lost]]:
        if not self.at_work:
            return []
        over, self.at_work = self.ray.wait(self.at_work, num_returns=1, timeout=POLL)
        return [(reference, self._answer(reference)) for reference in over]

    def close(self) -> None:
        for reference in self.at_work:
            self.ray.cancel(reference, force=True)
        self.at_work = []
        if self.ours:
            self.ray.shutdown()

    def _answer(self, reference: Any) -> str | Lost:
        try:
            answer: str = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return Lost(str(error).strip().splitlines()[0])
        return answer


def ray_executor(jobs: int, settings: Mapping[str, Any]) -> SpreadExecutor:
    return SpreadExecutor(RayCluster(settings), jobs, settings)
