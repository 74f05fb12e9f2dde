"""A training cell on one rank of several: `lab/work.py`'s training with the model sharded over all of them."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from paribus.attention.programs import overheard
from paribus.data.source import Stream
from paribus.lab.cell import Cell
from paribus.lab.claim import Trained
from paribus.lab.events import EventFile
from paribus.lab.folder import EVENTS, SHARDED, WEIGHTS
from paribus.lab.work import Tell, dev_loss, start_of, trained_result
from paribus.models.weights import save_whole
from paribus.training.loop import Journal
from paribus.training.sharded import train_sharded, whole_weights


def train_together(
    cell: Cell, task: Trained, stream: Stream, cells: Path, tell: Tell, checkpoint_seconds: float
) -> dict[str, Any]:
    """The result of the cell, on every rank; rank 0 alone writes events and weights, which are whole.

    The parameters are drawn on the CPU, equal on every rank, and are moved to the rank's GPU as they are sharded.
    """
    assert cell.steps is not None
    assert cell.learning_rate is not None
    folder, steps, recipe = cells / cell.digest, cell.steps, cell.recipe or task.recipe
    model, initial = start_of(cell, cells, torch.device("cpu"))
    writes = dist.get_rank() == 0
    events = EventFile(folder / EVENTS, lambda event: tell(event["step"] + 1, steps)) if writes else None
    try:
        with overheard() as programs:
            outcome = train_sharded(
                model,
                stream.batches(seed=cell.replicate, batch=recipe.batch, length=task.train_length, span=task.span),
                recipe,
                learning_rate=cell.learning_rate,
                steps=steps,
                journal=events or Journal(),
                progress=folder / SHARDED,
                every_seconds=checkpoint_seconds,
            )
        if events is not None:
            events.flush()
    finally:
        if events is not None:
            events.close()
    asked = time.perf_counter()
    device = next(model.parameters()).device
    # Every rank reads all windows: parameters are gathered from all of them at each layer.
    dev = math.log(task.data.vocab_size) if outcome.diverged else dev_loss(model, task, stream, device)
    dev_seconds = time.perf_counter() - asked
    trained = whole_weights(model)
    if not writes:
        return {}
    result = trained_result(task, folder, outcome, dev, initial, dev_seconds, programs)
    if result["status"] == "finished":
        save_whole(trained, folder / WEIGHTS)
    return result


def sweep(folder: Path) -> None:
    """Remove the state of a training that has finished."""
    for end in ("", ".old", ".partial"):
        shutil.rmtree(folder / f"{SHARDED}{end}", ignore_errors=True)
