"""K seeds of one configuration trained as one batched model, for a GPU that one small model leaves idle.

Parameters of equal name are stacked along a new first axis and every step is mapped over it (torch.func.vmap), so that
seed k reads its own batches and has its own loss, gradient, clipping and moments. Buffers that forward changes, in
place or by assigning them anew, are carried from step to step. Slow twin: `training.loop.train`, one model after the
other; the numbers agree to rounding. On a CPU stacking gains nothing at these sizes.
"""

import copy
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from paribus.core.config import require
from paribus.data.source import Batches
from paribus.models.given_input import reads_input
from paribus.training.loop import Journal, Outcome
from paribus.training.objective import token_loss
from paribus.training.precision import autocast
from paribus.training.recipe import Recipe


def train_stacked(
    models: Sequence[nn.Module],
    batches: Sequence[Batches],
    recipe: Recipe,
    *,
    learning_rate: float,
    steps: int,
    journals: Sequence[Journal] | None = None,
) -> list[Outcome]:
    """Train all models in place for `steps` steps; each gets the events and the outcome of a training of its own.

    One model of the stack may diverge: its journal ends there, the others go on. Nothing is saved on the way, so that
    a run that is broken off begins anew.
    Raises ConfigError for models of different shapes, for a forward that changes the names or shapes of buffers, for an
    optimizer that mixes the numbers of a parameter, and for sources whose input may see itself.
    """
    journals = [Journal() for _ in models] if journals is None else journals
    require(
        len(models) == len(batches) == len(journals) >= 1,
        f"{len(models)} models, {len(batches)} sources of batches and {len(journals)} journals: expected one of each",
    )
    shapes = [{name: tuple(weight.shape) for name, weight in model.named_parameters()} for model in models]
    require(
        all(shape == shapes[0] for shape in shapes),
        "models with parameters of different names or shapes cannot be stacked: train them one by one",
    )
    device = next(models[0].parameters()).device
    for model in models:
        model.train()
    stacked, buffers = stack_module_state(list(models))
    skeleton = _Told(copy.deepcopy(models[0]).to("meta"))
    optimizer = _optimizer(recipe, models[0], stacked)

    def loss_of(
        own: dict[str, Tensor], kept: dict[str, Tensor], tokens: Tensor, targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        named = {f"model.{name}": tensor for name, tensor in {**own, **kept}.items()}
        with autocast(recipe.dtype, device):
            logits, after = functional_call(skeleton, named, (tokens,))
        return token_loss(logits, targets), after

    for journal in journals:
        journal.rewind(0)
    outcomes = [Outcome(steps=0, final_loss=math.nan, diverged=False) for _ in models]
    began = time.perf_counter()
    for step in range(steps):
        now = [source.batch(step) for source in batches]
        require(
            not reads_input(models[0]) or all(batch.prefix is None for batch in now),
            "an input that may see itself gives each batch a mask of its own: train such models one by one",
        )
        tokens = torch.stack([torch.from_numpy(batch.tokens) for batch in now]).to(device)
        targets = torch.stack([torch.from_numpy(batch.targets) for batch in now]).to(device)
        rate = learning_rate * recipe.schedule(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        entered = time.perf_counter()
        losses, after = vmap(loss_of)(stacked, buffers, tokens, targets)
        _check_buffers(buffers, after)
        buffers = after
        losses.sum().backward()
        norms = _clip(list(stacked.values()), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        found = list(zip(losses.detach().tolist(), norms.tolist(), strict=True))
        inside = time.perf_counter() - entered
        for outcome, journal, batch, (value, size) in zip(outcomes, journals, now, found, strict=True):
            if outcome.diverged:
                continue
            outcome.seconds_inside += inside / len(models)
            outcome.note(journal, step, value, size, rate, batch.digest)
        if all(outcome.diverged for outcome in outcomes):
            break
    for outcome in outcomes:
        outcome.seconds = (time.perf_counter() - began) / len(models)
    _unstack(models, stacked, buffers)
    return outcomes


class _Told(nn.Module):
    """A model that gives its buffers along with its logits: one that forward assigns anew is the module's own during
    the call only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.model(tokens)
        return logits, dict(self.model.named_buffers())


def _check_buffers(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    for name in sorted(before.keys() | after.keys()):
        shapes = [tuple(at[name].shape[1:]) if name in at else None for at in (before, after)]
        require(
            shapes[0] == shapes[1],
            f"forward changes the buffer {name!r} from shape {shapes[0]} to {shapes[1]}, which a stack cannot follow: "
            "make all buffers, in their shapes, in __init__, or train the models one by one",
        )


def _optimizer(recipe: Recipe, like: nn.Module, stacked: dict[str, Tensor]) -> torch.optim.Optimizer:
    """The recipe's optimizer as it treats one model (which parameters decay), over the stacked parameters."""
    optimizer = recipe.optimizer.make(like)
    require(
        isinstance(optimizer, torch.optim.AdamW),
        f"{type(optimizer).__name__} may mix the numbers of a parameter, which a stack would mix across seeds: "
        "train the models one by one",
    )
    names = {weight: name for name, weight in like.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [stacked[names[weight]] for weight in group["params"]]
    return optimizer


def _clip(weights: Sequence[Tensor], most: float) -> Tensor:
    """nn.utils.clip_grad_norm_ for each model of the stack: its norm before clipping, (models,)."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients]
    norms = torch.stack(squares).sum(dim=0).sqrt()
    factors = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
    return norms


@torch.no_grad()
def _unstack(models: Sequence[nn.Module], stacked: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
    for number, model in enumerate(models):
        own: dict[str, Any] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, tensor in {**stacked, **buffers}.items():
            own[name].copy_(tensor[number])
        model.eval()
