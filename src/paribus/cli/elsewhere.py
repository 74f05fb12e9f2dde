"""The words of --executor that mean other machines."""

from collections.abc import Callable, Mapping
from typing import Any

from paribus.core.errors import ConfigError, nearest, optional
from paribus.lab.executors import on_ray, slurm
from paribus.lab.executors.base import Executor

LOCAL = "local"
Make = Callable[[int, Mapping[str, Any]], Executor]

# word -> (the package it needs, the extra that brings it, what makes the executor)
WORDS: dict[str, tuple[str, str, Make]] = {
    "slurm": ("submitit", slurm.EXTRA, slurm.slurm_executor),
    "ray": ("ray", on_ray.EXTRA, on_ray.ray_executor),
}


def elsewhere(word: str, jobs: int | None) -> Make:
    """What makes the executor of that word; refuses now what could not start later."""
    if word not in WORDS:
        raise ConfigError(f"unknown executor {word!r}: {nearest(word, (LOCAL, *WORDS))}")
    module, extra, make = WORDS[word]
    optional(module, extra)
    if jobs is None:
        raise ConfigError(f"--executor {word} needs --jobs N: how many cells may be at work at once on all machines")
    return make
