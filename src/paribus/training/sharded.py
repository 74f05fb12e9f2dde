"""One model over several processes, for a model too large for one GPU: FSDP2 shards it, DCP keeps it.

    torchrun --nproc-per-node 8 my_training.py          where my_training.py calls train_sharded

Every process holds a part of each parameter, gradient and moment, and reads its rows of the same global batch, so that
the number of processes changes the order of sums and nothing else: a run begun on two goes on on one. The loss is the
mean over the global batch; with L_r the sum of losses of rank r's rows and n the targets that count in the whole batch,

    loss = sum_r L_r / n

Each rank takes the gradient of R L_r / n, of which FSDP averages over the R ranks. Codes that follow what they stand
for (quantizers/ema.py) are no parameters to shard: every process holds them whole and moves them alike, by the sums of
all rows.
Source: Zhao et al., PyTorch FSDP, arXiv:2304.11277 (FSDP2: torch.distributed.fsdp.fully_shard).
"""

import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.core.config import require
from paribus.data.batch import IGNORED
from paribus.data.source import Batches
from paribus.models.given_input import given_input
from paribus.models.weights import weights
from paribus.quantizers.base import Quantizer
from paribus.quantizers.readers import Readers
from paribus.training.loop import Journal, Outcome
from paribus.training.precision import autocast
from paribus.training.recipe import Recipe


def shard(model: nn.Module) -> None:
    """Shard in place over all processes of the default group, a unit for each layer of a list and one for the rest."""
    from torch.distributed.fsdp import fully_shard  # these modules load the compiler: only who needs them pays

    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    followers = {one.codes for one in quantizers if not one.codes.requires_grad}
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, ignored_params=followers)
    fully_shard(model, ignored_params=followers)
    device = next(weight.device for weight in model.parameters() if weight not in followers)
    for codes in followers:
        codes.data = codes.data.to(device)  # what is ignored is not moved
    for quantizer in quantizers:
        quantizer.readers = Readers(dist.get_rank(), dist.get_world_size(), _summed)


def _summed(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def train_sharded(
    model: nn.Module,
    batches: Batches,
    recipe: Recipe,
    *,
    learning_rate: float,
    steps: int,
    journal: Journal | None = None,
    progress: Path | None = None,
    every_steps: int = 100,
    every_seconds: float | None = None,
) -> Outcome:
    """`paribus.training.loop.train` on all processes of the default group, which must exist; shards the model in place.

    The model comes whole, with equal numbers on every process. The journal is told on every process: give rank 0 alone
    one that writes. `progress` is a folder that all processes see, written every `every_steps` steps, or every
    `every_seconds` by the clock of rank 0, and taken up again by any number of processes; let it be a folder of your
    own, since DCP's index is a pickle.
    Raises ConfigError for a batch with fewer rows than there are processes.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    shard(model)
    device = next(model.parameters()).device
    optimizer = recipe.optimizer.make(model)
    done = load_sharded(model, optimizer, progress) if progress is not None else 0
    journal = journal or Journal()
    journal.rewind(done)
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    model.train()
    outcome = Outcome(steps=done, final_loss=math.nan, diverged=False)
    began = saved = time.perf_counter()
    for step in range(done, steps):
        batch = batches.batch(step)
        rows = len(batch.tokens)
        require(rows >= world, f"a batch of {rows} rows for {world} processes: expected at least one row for each")
        count = int((batch.targets != IGNORED).sum())
        tokens = torch.from_numpy(batch.tokens[rank::world]).to(device)
        targets = torch.from_numpy(batch.targets[rank::world]).to(device)
        prefix = None if batch.prefix is None else batch.prefix[rank::world]
        rate = learning_rate * recipe.schedule(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        entered = time.perf_counter()
        with autocast(recipe.dtype, device):
            logits = model(tokens, **given_input(model, prefix))
        part = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        (part * (world / count)).backward()
        norm = whole(nn.utils.clip_grad_norm_(parameters, recipe.clip))
        optimizer.step()
        optimizer.zero_grad()
        due = (step + 1) % every_steps == 0
        if every_seconds is not None:
            due = rank == 0 and time.perf_counter() - saved > every_seconds
        # Whether to save travels with the loss, so that all processes agree on it.
        total = torch.stack([part.detach() / count, torch.tensor(float(due), device=device)])
        dist.all_reduce(total)
        value, size, save = float(total[0]), float(norm), float(total[1]) > 0
        outcome.seconds_inside += time.perf_counter() - entered
        outcome.note(journal, step, value, size, rate, batch.digest)
        if outcome.diverged:
            break
        if progress is not None and save and step + 1 < steps:
            journal.flush()
            save_sharded(model, optimizer, step + 1, progress)
            saved = time.perf_counter()
    outcome.seconds = time.perf_counter() - began
    model.eval()
    return outcome


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of `models.weights.weights`, whole and on the CPU; all processes must call it."""
    return {name: whole(tensor).cpu() for name, tensor in weights(model).items()}


def save_sharded(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, folder: Path) -> None:
    """Each process writes its part; the folder changes from the last state to this one by a rename."""
    from torch.distributed.checkpoint.state_dict_saver import save

    partial = folder.with_name(folder.name + ".partial")
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
    dist.barrier()
    save({**_state(model, optimizer), "step": torch.tensor(step)}, checkpoint_id=partial)
    if dist.get_rank() == 0:
        old = _previous(folder)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    dist.barrier()


def load_sharded(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> int:
    """Restore what any number of processes stored, and return the number of steps done; 0 if there is nothing."""
    from torch.distributed.checkpoint.state_dict import set_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load

    if not folder.exists():
        folder = _previous(folder)  # the process that renames died between its two steps
    if not folder.exists():
        return 0
    stored = {**_state(model, optimizer), "step": torch.tensor(0)}
    load(stored, checkpoint_id=folder)
    set_state_dict(model, optimizer, model_state_dict=stored["model"], optim_state_dict=stored["optimizer"])
    return int(stored["step"])


def _previous(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import get_state_dict

    parameters, moments = get_state_dict(model, optimizer)
    return {"model": parameters, "optimizer": moments}
