"""What a plan will cost on this machine, before anything is spent: time, memory, disk."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from paribus.attention.programs import overheard
from paribus.core.errors import InputError
from paribus.data.batch import Batch
from paribus.evaluation.score import TOKENS_AT_ONCE
from paribus.lab.cell import Cell
from paribus.lab.claim import Trained
from paribus.lab.plan import Plan, total_cost
from paribus.lab.room import free_disk, free_memory
from paribus.lab.work import build
from paribus.theory import memory
from paribus.theory.flops import TRAINING_FACTOR
from paribus.training.loop import train
from paribus.training.precision import autocast
from paribus.training.price import flops
from paribus.training.stacked import train_stacked

PROCESS_BYTES = 420 * 2**20  # an idle worker: Python, torch, the mapped corpus
CONTEXT_BYTES = 500 * 2**20  # what CUDA itself takes on a GPU for each process
STARTUP_SECONDS = 6.0
PROBE_STEPS = 4
PROBE_LENGTH = 1024  # tokens: longer readings are priced by their FLOPs at the speed of these


@dataclass(frozen=True)
class Estimate:
    flops: float
    cells: int
    seconds: float | None  # None where nothing is trained
    bytes_per_worker: int
    disk_bytes: int
    speed: float | None = None  # FLOP/s of one process that trains
    device_bytes: int = 0  # of one worker on its GPU; 0 on a CPU
    reading: Mapping[str, float] = field(default_factory=dict)  # arm -> FLOP/s of a reading, as far as it was probed
    together: int = 1  # processes that carry out one training
    # Seeds in a stack, 0 for one that is trained alone -> FLOP/s of a worker; empty where nothing is stacked.
    stacked: Mapping[int, float] = field(default_factory=dict)

    def price(self, cell: Cell) -> float | None:
        """Seconds of one cell; None where nothing is known."""
        if self.speed is None:
            return None
        if cell.kind == "read":
            return cell.cost / self.reading.get(cell.arm, self.speed)
        return cell.cost / self.stacked.get(len(cell.stack), self.speed) / self.together


def estimate(plan: Plan, jobs: int) -> Estimate:
    """Seconds from a short probe here of one training step and of a reading by every arm; bytes from sums."""
    cells = plan.expected_cells()
    if not isinstance(plan.task, Trained):
        return Estimate(total_cost(cells), len(cells), None, PROCESS_BYTES, 4096 * len(cells))
    largest = max(plan.sized.values(), key=lambda sized: sized.n_parameters)
    trainings = [cell for cell in cells if cell.kind == "train"]
    steps = sum(cell.steps or 0 for cell in trainings)
    sizes = sorted({len(cell.stack) for cell in trainings})  # 0 for seeds that are trained alone
    speeds = {seeds: probe(plan, seeds) for seeds in sizes}
    speed = speeds[sizes[-1]]
    reading = probe_readings(plan)
    working = memory.training_bytes(largest.n_parameters, _activations(plan, largest.config))
    if sizes[-1]:
        working = sizes[-1] * (working + 4 * largest.n_parameters)  # and the models that the stack was made of
    most_read = max((one.bytes for one in reading.values()), default=0)
    together = plan.profile.processes
    cost = Estimate(
        flops=total_cost(cells),
        cells=len(cells),
        seconds=None,
        # The worker, torchrun and the processes that train together, each of which builds the model whole first.
        bytes_per_worker=PROCESS_BYTES + max(working, most_read)
        if together == 1
        else (2 + together) * PROCESS_BYTES + max(together * working, most_read),
        # Weights, a checkpoint of three times their size while a cell trains, and about 160 bytes of events a step.
        disk_bytes=len(trainings) * 4 * largest.n_parameters + jobs * 12 * largest.n_parameters + 160 * steps,
        speed=speed,
        device_bytes=0 if plan.environment.device == "cpu" else CONTEXT_BYTES + max(working // together, most_read),
        reading={arm: one.speed for arm, one in reading.items()},
        together=together,
        stacked=speeds if sizes[-1] else {},
    )
    whole = math.fsum(cost.price(cell) or 0.0 for cell in cells) / jobs
    stack = max((len(cell.stack) * (cost.price(cell) or 0.0) for cell in trainings), default=0.0)  # one worker's
    return replace(cost, seconds=STARTUP_SECONDS + max(whole, stack))


def _activations(plan: Plan, config: object) -> int:
    """Bytes of a training step's activations, or of a plain decoder of that size where the model is not ours."""
    longest = max(map(plan.length_of, plan.claim.arms))
    return _decoder_bytes(plan, config, tokens=plan.trained.recipe.batch * longest, length=longest)


def _decoder_bytes(plan: Plan, config: object, tokens: int, length: int, layers: int | None = None) -> int:
    """Bytes of the activations of so many layers; 0 where the model is not ours."""
    mixers = config.layer_mixers() if hasattr(config, "layer_mixers") else []
    if not mixers:
        return 0
    return memory.decoder_activation_bytes(
        tokens=tokens,
        length=length,
        d_model=config.d_model,  # type: ignore[attr-defined]
        d_ff=max(network.inner_width for network in config.layer_feed_forwards()),  # type: ignore[attr-defined]
        n_layers=layers or config.n_layers,  # type: ignore[attr-defined]
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


def probe(plan: Plan, stacked: int = 0) -> float:
    """FLOP/s of one worker, from the fastest of a few training steps of the first arm on this machine.

    stacked: seeds that are trained as one model; 0 for one seed by itself.
    """
    task = plan.trained
    arm = plan.claim.trained_arms()[0]
    cell = plan.verdict_cells({one.name: plan.profile.learning_rates[0] for one in plan.claim.arms})[0]
    training = cell.weights or cell
    models = [build(training, _device(plan)) for _ in range(stacked or 1)]
    batches = _Noise(task.recipe.batch, plan.length_of(arm), plan.claim.data_of(arm).vocab_size)
    fastest = float("inf")
    for _ in range(PROBE_STEPS):
        began = time.perf_counter()
        if stacked:
            train_stacked(models, [batches] * stacked, task.recipe, learning_rate=1e-4, steps=1)
        else:
            train(models[0], batches, task.recipe, learning_rate=1e-4, steps=1)
        fastest = min(fastest, time.perf_counter() - began)
    tokens = len(models) * task.recipe.batch * plan.length_of(arm)
    return TRAINING_FACTOR * plan.sized[arm.name].flops_per_token * tokens / fastest


@dataclass(frozen=True)
class Reading:
    """What the readings of one arm are like: FLOP/s, and bytes of one layer's activations at the longest window."""

    speed: float
    bytes: int


def probe_readings(plan: Plan) -> dict[str, Reading]:
    """Arm -> how it reads: the faster of two passes over as many tokens as a metric reads at once.

    A map of positions may need tens of times the time of a training for a FLOP. An arm that cannot be read is left out:
    its own cell will say what is wrong.
    """
    task, device = plan.trained, _device(plan)
    found: dict[str, Reading] = {}
    n = min(max(task.metric.longest, task.train_length), PROBE_LENGTH)
    readings: dict[str, Cell] = {}
    for cell in plan.verdict_cells({arm.name: plan.profile.learning_rates[0] for arm in plan.claim.arms}):
        if cell.kind == "read":
            readings.setdefault(cell.arm, cell)
    for name, cell in readings.items():
        vocabulary = plan.claim.data_of(plan.claim.arm(name)).vocab_size
        tokens = np.random.default_rng(0).integers(vocabulary, size=(max(1, TOKENS_AT_ONCE // n), n))
        fastest = math.inf
        try:
            model = build(cell, device).eval()
            with overheard() as heard, torch.no_grad(), autocast(task.recipe.dtype, device):
                for _ in range(2):
                    began = time.perf_counter()
                    float(model(torch.from_numpy(tokens).to(device)).sum())  # waits for a GPU
                    fastest = min(fastest, time.perf_counter() - began)
        except Exception:
            continue
        longest = max(task.metric.longest, n)
        dense = any(why.startswith("dense") for reasons in heard.values() for why in reasons)
        kept = _decoder_bytes(plan, cell.config, max(TOKENS_AT_ONCE, longest), longest if dense else 0, layers=1)
        if (work := flops(cell.config, n) * len(tokens)) > 0:
            found[name] = Reading(speed=work / fastest, bytes=kept)
    return found


def _device(plan: Plan) -> torch.device:
    return torch.device("cpu" if plan.environment.device == "cpu" else "cuda")


def check_room(estimate: Estimate, jobs: int, folder: Path) -> None:
    """Refuse before the start what cannot fit: memory for all workers, on GPUs too, and disk for all cells.

    jobs: how many workers this machine will hold.
    """
    free, whose = free_memory()
    _check_memory(estimate.bytes_per_worker, jobs, free, whose, "close other programs")
    if estimate.device_bytes:
        gpus = max(1, torch.cuda.device_count())
        on_one = math.ceil(jobs / gpus)
        free = min(torch.cuda.mem_get_info(number)[0] for number in range(gpus))
        _check_memory(estimate.device_bytes, on_one, free, "on the fullest GPU", "free the GPU", each=gpus)
    room = free_disk(folder)
    if estimate.disk_bytes > room:
        raise InputError(
            f"the run needs about {estimate.disk_bytes / 2**20:.1f} MiB in {folder}, {room / 2**20:.1f} MiB are free: "
            "free space (`paribus clean` shows what runs can give back), or choose another place with --out"
        )


def _check_memory(need: int, jobs: int, free: int, whose: str, or_else: str, each: int = 1) -> None:
    if need * jobs <= free:
        return
    fits = free // need
    workers = f"{jobs} workers need" if jobs > 1 else "1 worker needs"
    raise InputError(
        f"{workers} about {need * jobs / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free {whose}: "
        + (f"use --jobs {fits * each}, or a smaller batch" if fits else f"{or_else}, or take a smaller batch")
    )
