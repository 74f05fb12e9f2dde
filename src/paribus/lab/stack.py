"""K seeds of one arm trained as one batched model, each a cell of its own: which are asked for, and how they are done.

A profile with stack = K cuts the seeds of each phase, as it lists them, into pieces of K, the last one shorter; a piece
of one seed is trained alone. So which seeds a cell was stacked with is known before anything runs, whatever else is
there, and stands in its digest. A stack is one piece of work, asked for by its first cell and done by one worker. It
keeps no checkpoint: one that is broken off begins anew, and leaves the cells that were written, whole. Slow twin: the
same profile with stack = 1; the numbers agree to rounding.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.attention.programs import overheard
from paribus.data.source import Stream
from paribus.lab.cell import Cell
from paribus.lab.claim import Measured, Profile, Trained
from paribus.lab.events import EventFile
from paribus.lab.folder import EVENTS, RESULT, read_json, whole
from paribus.lab.work import CHECKPOINT_SECONDS, Tell, begin, conclude, device_of, do, finish, start_of
from paribus.training.loop import Journal
from paribus.training.stacked import train_stacked


def asked_for(cells: Sequence[Cell]) -> list[Cell]:
    """The cells by which workers are asked for these, in their order: a stack once, by its first."""
    return list({cell.lead.digest: cell.lead for cell in cells}.values())


def spelled(profile: Profile) -> str:
    """The stacks of the verdict seeds in words, such as `0 to 3; 4 to 7`; empty where there are none."""

    def spell(seeds: Sequence[int]) -> str:
        in_a_row = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))) and len(seeds) > 2
        return f"{seeds[0]} to {seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))

    return "; ".join(map(spell, profile.stacks(profile.seeds)))


def compute(
    cell: Cell,
    task: Trained | Measured,
    stream: Stream | None,
    cells: Path,
    tell: Tell,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> dict[str, Any]:
    """Compute the cell, and what of its stack is not finished, into cells/<digest>/; the result of the cell."""
    if not cell.stack:
        return do(cell, task, stream, cells, tell, checkpoint_seconds)
    assert isinstance(task, Trained)
    assert stream is not None
    _train(cell, task, stream, cells, tell, checkpoint_seconds)
    result: dict[str, Any] = read_json(cells / cell.digest / RESULT, "run the same command again")
    return result


def _train(cell: Cell, task: Trained, stream: Stream, cells: Path, tell: Tell, checkpoint_seconds: float) -> None:
    """All seeds of a stack, since the bits of each depend on that; what is finished stays as it is."""
    assert cell.steps is not None
    assert cell.learning_rate is not None
    steps, recipe, began = cell.steps, cell.recipe or task.recipe, time.perf_counter()
    folders = {one.replicate: begin(one, cells) for one in cell.stacked if not whole(cells / one.digest)}
    starts = [start_of(one, cells, device_of(one)) for one in cell.stacked]
    shown = began

    def told(event: dict[str, Any]) -> None:
        """Others see by the files that a stack is alive, as they do by the checkpoints of a single training."""
        nonlocal shown
        tell(event["step"] + 1, steps)
        if time.perf_counter() - shown > checkpoint_seconds:
            for file in files.values():
                file.flush()
            shown = time.perf_counter()

    files = {seed: EventFile(folder / EVENTS, told) for seed, folder in folders.items()}
    try:
        with overheard() as programs:
            outcomes = train_stacked(
                [model for model, _ in starts],
                [
                    stream.batches(seed=seed, batch=recipe.batch, length=task.train_length, span=task.span)
                    for seed in cell.stack
                ],
                recipe,
                learning_rate=cell.learning_rate,
                steps=steps,
                journals=[files.get(seed) or Journal() for seed in cell.stack],
            )
        for file in files.values():
            file.flush()
    finally:
        for file in files.values():
            file.close()
    results = {
        one.replicate: conclude(one, task, stream, folders[one.replicate], model, outcome, initial, programs)
        for one, (model, initial), outcome in zip(cell.stacked, starts, outcomes, strict=True)
        if one.replicate in folders
    }
    each = (time.perf_counter() - began) / len(cell.stack)
    for one in cell.stacked:
        if one.replicate in folders:
            finish(one, folders[one.replicate], results[one.replicate], each)
