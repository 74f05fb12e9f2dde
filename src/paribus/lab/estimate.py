"""What a plan will cost on this machine, before anything is spent: time, memory, disk."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from paribus.core.errors import InputError
from paribus.data.batch import Batch
from paribus.lab.claim import Trained
from paribus.lab.plan import Plan, total_cost
from paribus.lab.work import build
from paribus.theory import memory
from paribus.theory.flops import TRAINING_FACTOR
from paribus.training.loop import train

PROCESS_BYTES = 420 * 2**20  # an idle worker: Python, torch, the mapped corpus
STARTUP_SECONDS = 6.0
PROBE_STEPS = 4


@dataclass(frozen=True)
class Estimate:
    flops: float
    cells: int
    seconds: float | None  # None where nothing is trained
    bytes_per_worker: int
    disk_bytes: int
    speed: float | None = None  # FLOP/s of one worker


def estimate(plan: Plan, jobs: int) -> Estimate:
    """Seconds from a short probe of one training step here; bytes from sums."""
    cells = plan.expected_cells()
    if not isinstance(plan.task, Trained):
        return Estimate(total_cost(cells), len(cells), None, PROCESS_BYTES, 4096 * len(cells))
    largest = max(plan.sized.values(), key=lambda sized: sized.n_parameters)
    trainings = [cell for cell in cells if cell.kind == "train"]
    steps = sum(cell.steps or 0 for cell in trainings)
    speed = probe(plan)
    working = memory.training_bytes(largest.n_parameters, _activations(plan, largest.config))
    return Estimate(
        flops=total_cost(cells),
        cells=len(cells),
        seconds=STARTUP_SECONDS + total_cost(cells) / speed / jobs,
        bytes_per_worker=PROCESS_BYTES + working,
        # Weights, a checkpoint of three times their size while a cell trains, and about 160 bytes of events a step.
        disk_bytes=len(trainings) * 4 * largest.n_parameters + jobs * 12 * largest.n_parameters + 160 * steps,
        speed=speed,
    )


def _activations(plan: Plan, config: object) -> int:
    """Bytes of a training step's activations, or of a plain decoder of that size where the model is not ours."""
    mixers = config.layer_mixers() if hasattr(config, "layer_mixers") else []
    if not mixers:
        return 0
    longest = max(map(plan.length_of, plan.claim.arms))
    return memory.decoder_activation_bytes(
        tokens=plan.trained.recipe.batch * longest,
        length=longest,
        d_model=config.d_model,  # type: ignore[attr-defined]
        d_ff=config.feed_forward.d_ff,  # type: ignore[attr-defined]
        n_layers=config.n_layers,  # type: ignore[attr-defined]
        n_heads=max(getattr(mixer, "n_heads", 1) for mixer in mixers),
        vocab_size=max(plan.claim.data_of(arm).vocab_size for arm in plan.claim.arms),
    )


class _Noise:
    """Random tokens: a step costs the same whatever it reads."""

    def __init__(self, batch: int, length: int, vocab_size: int) -> None:
        tokens = np.random.default_rng(0).integers(vocab_size, size=(batch, length))
        self.one = Batch(tokens, tokens, "")

    def batch(self, step: int) -> Batch:
        return self.one


def probe(plan: Plan) -> float:
    """FLOP/s of one worker, from the fastest of a few training steps of the first arm on this machine."""
    task = plan.trained
    arm = plan.claim.trained_arms()[0]
    cell = plan.verdict_cells({one.name: plan.profile.learning_rates[0] for one in plan.claim.arms})[0]
    training = cell.weights or cell
    model = build(training, _device(plan))
    batches = _Noise(task.recipe.batch, plan.length_of(arm), plan.claim.data_of(arm).vocab_size)
    fastest = float("inf")
    for _ in range(PROBE_STEPS):
        began = time.perf_counter()
        train(model, batches, task.recipe, learning_rate=1e-4, steps=1)
        fastest = min(fastest, time.perf_counter() - began)
    tokens = task.recipe.batch * plan.length_of(arm)
    return TRAINING_FACTOR * plan.sized[arm.name].flops_per_token * tokens / fastest


def _device(plan: Plan) -> torch.device:
    return torch.device("cpu" if plan.environment.device == "cpu" else "cuda")


def check_room(estimate: Estimate, jobs: int, folder: Path) -> None:
    """Refuse before the start what cannot fit: memory for all workers, disk for all cells."""
    free = psutil.virtual_memory().available
    if estimate.bytes_per_worker * jobs > free:
        fits = free // estimate.bytes_per_worker
        need = f"{jobs} workers need" if jobs > 1 else "1 worker needs"
        raise InputError(
            f"{need} about {estimate.bytes_per_worker * jobs / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free: "
            + (f"use --jobs {fits}, or a smaller batch" if fits else "close other programs, or take a smaller batch")
        )
    place = folder
    while not place.exists():
        place = place.parent
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())  # by a run that goes on
    room = shutil.disk_usage(place).free + held
    if estimate.disk_bytes > room:
        raise InputError(
            f"the run needs about {estimate.disk_bytes / 2**20:.1f} MiB in {folder}, {room / 2**20:.1f} MiB are free: "
            "free space, or choose another place with --out"
        )
