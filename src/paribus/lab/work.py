"""Do one cell in this process: train, read or measure, and leave its result whole or not at all."""

import hashlib
import json
import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paribus.attention.programs import Heard, overheard
from paribus.core.config import part_name, to_dict
from paribus.core.errors import CellFailed, ConfigError
from paribus.core.seed import derive
from paribus.data.source import Stream
from paribus.lab.cell import Cell
from paribus.lab.claim import Measured, Trained
from paribus.lab.events import EventFile, read_events
from paribus.lab.folder import EVENTS, PROGRESS, RESULT, WEIGHTS, weights_hash, write_whole
from paribus.layers.parameters import draw
from paribus.models.given_input import given_input
from paribus.models.weights import load_weights, save_weights
from paribus.training.loop import Outcome, train
from paribus.training.objective import token_loss
from paribus.training.precision import autocast
from paribus.training.price import check_layout, seed_everything

DEV_WINDOWS = 256
PERTURBATION = 1e-6
CHECKPOINT_SECONDS = 20.0  # between two checkpoints of a training

Tell = Callable[[int, int], None]  # steps done, steps of the cell
# (cell, task, data, cells' folder, tell, seconds between checkpoints) -> result
Training = Callable[[Cell, Trained, Stream, Path, Tell, float], dict[str, Any]]


def do(
    cell: Cell,
    task: Trained | Measured,
    stream: Stream | None,
    cells: Path,
    tell: Tell,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    training: Training | None = None,
) -> dict[str, Any]:
    """Compute the cell into cells/<digest>/ and return its result. training: how, if not in this process alone."""
    folder = begin(cell, cells)
    began = time.perf_counter()
    if cell.kind == "measure":
        assert isinstance(task, Measured)
        result = _measure(cell, task)
    else:
        assert isinstance(task, Trained)
        assert stream is not None
        if cell.kind == "train":
            result = (training or _train)(cell, task, stream, cells, tell, checkpoint_seconds)
        else:
            result = _read(cell, task, stream, cells, tell)
    return finish(cell, folder, result, time.perf_counter() - began)


def begin(cell: Cell, cells: Path) -> Path:
    """The cell's folder, where it says what it is."""
    folder = cells / cell.digest
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".tmp*"):  # of a try that was killed while safetensors wrote
        left.unlink()
    write_whole(folder / "cell.json", json.dumps(cell.described(), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return folder


def finish(cell: Cell, folder: Path, result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Write the result with what it took: from now on the cell is finished."""
    result |= {"schema": "paribus.cell/1", "digest": cell.digest, "kind": cell.kind}
    if cell.kind == "train":
        result["weights"] = weights_hash(folder)
    if cell.weights is not None:
        trained = folder.parent / cell.weights.digest
        told_by = json.loads((trained / RESULT).read_text(encoding="utf-8"))
        result["made_on"] = told_by["weights"] if "weights" in told_by else weights_hash(trained)
    told = result.get("measured", {})
    if "model_seconds" in told:
        told["overhead"] = 1 - told["model_seconds"] / seconds
    result["measured"] = {
        **told,
        "seconds": seconds,
        "worker_bytes": peak_bytes(),
        "host": platform.node(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_whole(
        folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"
    )
    (folder / PROGRESS).unlink(missing_ok=True)
    return result


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def device_of(cell: Cell) -> torch.device:
    return torch.device("cpu" if cell.environment.device == "cpu" else "cuda")


def build(cell: Cell, device: torch.device) -> nn.Module:
    """The model of a cell with the parameters that its seed draws."""
    seed_everything(derive(cell.replicate, "module"))
    model: nn.Module = cell.config.build()
    try:
        check_layout(cell.config, model, cell.replicate)
    except ConfigError as error:
        raise ConfigError(f"arm {cell.arm!r}: {error}") from error
    draw(model, cell.replicate)
    return model.to(device)


def fingerprints(model: nn.Module) -> dict[str, str]:
    """Name, shape and law -> hash of the bits, to check that arms share what they have in common.

    The same matrix of a deeper model has a smaller deviation, and a foreign parameter a start of its own: neither can
    be compared.
    """
    prints = {}
    for name, weight in model.named_parameters():
        if (normal := getattr(weight, "paribus_normal", None)) is None:
            continue
        shape = "x".join(map(str, weight.shape))
        bits = weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        prints[f"{name} {shape} N{normal}"] = hashlib.blake2b(bits, digest_size=8).hexdigest()
    return prints


@torch.no_grad()
def perturb(model: nn.Module, seed: int) -> None:
    """Multiply every weight by 1 + 1e-6 noise, drawn anew for each seed: the floor that numerical chaos sets."""
    for name, weight in model.named_parameters():
        noise = torch.empty(weight.shape).normal_(generator=torch.Generator().manual_seed(derive(seed, "noise", name)))
        weight.mul_(1 + PERTURBATION * noise.to(weight.device))


def _train(
    cell: Cell, task: Trained, stream: Stream, cells: Path, tell: Tell, checkpoint_seconds: float
) -> dict[str, Any]:
    assert cell.steps is not None
    assert cell.learning_rate is not None
    if cell.goes_on and cell.weights is not None and _diverged(cells / cell.weights.digest):
        metrics = dict.fromkeys(("train_loss", "dev_loss"), math.log(task.data.vocab_size))
        return {"status": "diverged", "metrics": metrics, "steps": 0, "order": "", "initial": {}}
    folder, steps, recipe = cells / cell.digest, cell.steps, cell.recipe or task.recipe
    model, initial = start_of(cell, cells, device_of(cell))
    events = EventFile(
        folder / EVENTS, lambda event: tell(event["step"] + 1 - cell.first, steps - cell.first), cell.first
    )
    try:
        with overheard() as programs:
            outcome = train(
                model,
                stream.batches(seed=cell.replicate, batch=recipe.batch, length=task.train_length, span=task.span),
                recipe,
                learning_rate=cell.learning_rate,
                steps=steps,
                loss=cell.loss,
                journal=events,
                progress=folder / PROGRESS,
                every_seconds=checkpoint_seconds,
                start=cells / cell.weights.digest / WEIGHTS if cell.goes_on and cell.weights is not None else None,
                keep=folder / WEIGHTS if cell.keeps_state else None,
                compiler=cell.compiler,
            )
        events.flush()
    finally:
        events.close()
    return conclude(cell, task, stream, folder, model, outcome, initial, programs)


def start_of(cell: Cell, cells: Path, device: torch.device) -> tuple[nn.Module, dict[str, str]]:
    """The model where its training begins, and its fingerprints without the perturbation of a twin."""
    model = build(cell, device)
    if cell.weights is not None and not cell.goes_on:
        load_weights(model, cells / cell.weights.digest / WEIGHTS)
    initial = fingerprints(model)
    if cell.perturbed:
        perturb(model, cell.replicate)
    return model, initial


def conclude(
    cell: Cell,
    task: Trained,
    stream: Stream,
    folder: Path,
    model: nn.Module,
    outcome: Outcome,
    initial: dict[str, str],
    programs: Heard,
) -> dict[str, Any]:
    """The result of a training that has ended, by its dev loss; it leaves its weights."""
    asked = time.perf_counter()
    dev = math.log(task.data.vocab_size) if outcome.diverged else dev_loss(model, task, stream, device_of(cell))
    result = trained_result(task, folder, outcome, dev, initial, time.perf_counter() - asked, programs)
    if result["status"] == "finished" and not cell.keeps_state:
        save_weights(model, folder / WEIGHTS)
    return result


def trained_result(
    task: Trained,
    folder: Path,
    outcome: Outcome,
    dev: float,
    initial: dict[str, str],
    dev_seconds: float,
    programs: Heard,
) -> dict[str, Any]:
    """What a training came to; one that diverged, or has no finite loss, counts as the worst."""
    order = hashlib.blake2b(digest_size=16)
    for event in read_events(folder / EVENTS):
        order.update(event["batch"].encode())
    worst = math.log(task.data.vocab_size)
    metrics = {"train_loss": worst if outcome.diverged else outcome.final_loss, "dev_loss": dev}
    diverged = outcome.diverged or not all(map(math.isfinite, metrics.values()))
    if diverged:
        metrics = dict.fromkeys(metrics, worst)
    return {
        "status": "diverged" if diverged else "finished",
        "metrics": metrics,
        "steps": outcome.steps,
        "order": order.hexdigest() if not diverged else "",
        "initial": initial,
        "measured": {
            # Forward, backward, optimizer and the dev loss: all that is not the lab's own overhead.
            "model_seconds": outcome.seconds_inside + dev_seconds,
            "programs": programs,
        },
    }


@torch.no_grad()
def dev_loss(model: nn.Module, task: Trained, stream: Stream, device: torch.device) -> float:
    """Mean loss on the dev split at the trained length: what a rate is chosen by."""
    windows = stream.windows("dev", count=DEV_WINDOWS, length=task.train_length, span=task.span)
    tokens, targets = torch.from_numpy(windows.tokens), torch.from_numpy(windows.targets)
    total, counted = 0.0, 0
    rows = max(1, 8192 // tokens.shape[1])
    for at in range(0, len(tokens), rows):
        some_tokens, some_targets = tokens[at : at + rows], targets[at : at + rows]
        known = given_input(model, None if windows.prefix is None else windows.prefix[at : at + rows])
        with autocast(task.recipe.dtype, device):
            logits = model(some_tokens.to(device), **known)
        weight = int((some_targets >= 0).sum())
        total += float(token_loss(logits, some_targets.to(device))) * weight
        counted += weight
    return total / counted


def _diverged(trained: Path) -> bool:
    return bool(json.loads((trained / RESULT).read_text(encoding="utf-8"))["status"] == "diverged")


def _read(cell: Cell, task: Trained, stream: Stream, cells: Path, tell: Tell) -> dict[str, Any]:
    assert cell.weights is not None
    trained = cells / cell.weights.digest
    if _diverged(trained):
        metrics = {name: task.metric.worst(name, task.data) for name in task.metric.names()}
        return {"status": "diverged", "metrics": metrics}
    model = build(cell, device_of(cell))
    load_weights(model, trained / WEIGHTS)
    model.eval()
    windows = task.metric.held_out(stream)
    with overheard() as programs:
        given = task.metric.measure(model, windows, task.recipe.dtype)
        metrics = _numbers(given, f"the metric {part_name(type(task.metric))}", cell)
    if metrics.keys() != set(task.metric.names()):
        raise CellFailed(
            f"the metric {part_name(type(task.metric))} gave {sorted(metrics)} for arm {cell.arm!r}, its names() are "
            f"{sorted(task.metric.names())}: return exactly those"
        )
    tell(1, 1)
    told = {"programs": programs}
    return {"status": "finished", "metrics": _checked(metrics, cell), "windows": windows.digest, "measured": told}


def _measure(cell: Cell, task: Measured) -> dict[str, Any]:
    given = task.measure(cell.config, cell.replicate)
    metrics = _numbers(given, f"the measure {getattr(task.measure, '__qualname__', '')}", cell)
    if metrics.keys() != task.units.keys():
        raise CellFailed(
            f"the measure gave {sorted(metrics)} for arm {cell.arm!r}, the task declares {sorted(task.units)}: "
            "return exactly the declared metrics"
        )
    return {"status": "finished", "metrics": _checked(metrics, cell), "config": to_dict(cell.config)}


def _numbers(given: Any, giver: str, cell: Cell) -> dict[str, float]:
    if not isinstance(given, Mapping):
        raise CellFailed(
            f"{giver} gave a {type(given).__name__} for arm {cell.arm!r}, replicate {cell.replicate}: expected a dict "
            "of one number for each name, {name: value}"
        )
    metrics = {}
    for name, value in given.items():
        try:
            metrics[name] = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise CellFailed(
                f"metric {name!r} of arm {cell.arm!r}, replicate {cell.replicate}, is a {type(value).__name__}: "
                "expected one number"
            ) from error
    return metrics


def _checked(metrics: dict[str, float], cell: Cell) -> dict[str, float]:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise CellFailed(
                f"metric {name!r} of arm {cell.arm!r}, replicate {cell.replicate}, is {value}: a metric must be a "
                "finite number for every model; check it on the weights in the run folder"
            )
    return metrics
