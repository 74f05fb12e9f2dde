"""What the arms of a claim must keep to, so that one task can train and read them all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paribus.core.errors import ConfigError, nearest
from paribus.data.batch import Batch
from paribus.lab.claim import Arm, Claim, Profile, Trained
from paribus.layers.parameters import draw
from paribus.models.any_module import AnyModule, sees_ahead
from paribus.models.weights import weights
from paribus.training.budget import Sized
from paribus.training.loop import train
from paribus.training.price import built
from paribus.training.stacked import train_stacked


def length_of(arm: Arm, task: Trained) -> int:
    """Tokens of a training row of this arm."""
    return task.train_length if arm.length is None else arm.length


def check_profile(claim: Claim, profile: Profile) -> None:
    """What this claim cannot be trained by."""
    check_processes(claim, profile)
    check_compiler(claim, profile)
    check_stack(claim, profile)


def check_processes(claim: Claim, profile: Profile) -> None:
    """What several processes cannot train together."""
    together = profile.processes
    assert isinstance(claim.task, Trained)
    if claim.task.recipe.batch < together:
        raise ConfigError(
            f"a batch of {claim.task.recipe.batch} rows for processes = {together}: each needs a row of its own; take "
            "a larger batch or fewer processes"
        )
    if together > 1 and (odd := [arm.name for arm in claim.arms if arm.loss is not None]):
        raise ConfigError(
            f"processes = {together}, and {', '.join(odd)} has a loss of its own: several processes lower the mean "
            "cross entropy only; take processes = 1"
        )


def check_compiler(claim: Claim, profile: Profile) -> None:
    """What cannot be compiled, and by what nothing can be."""
    if profile.compiler is None:
        return
    if odd := [arm.name for arm in claim.arms if arm.loss is not None]:
        raise ConfigError(
            f"compiler = {profile.compiler!r}, and {', '.join(odd)} has a loss of its own, which takes hidden states "
            "past the compiled model: take compiler = None"
        )
    backends = torch.compiler.list_backends(exclude_tags=())
    if profile.compiler not in backends:
        raise ConfigError(
            f"compiler = {profile.compiler!r} is no backend of torch.compile; {nearest(profile.compiler, backends)}"
        )


def check_stack(claim: Claim, profile: Profile) -> None:
    """What a stack of seeds cannot be trained by, as the claim says it."""
    if profile.stack == 1:
        return
    for arm in claim.arms:
        why = ""
        if arm.loss is not None:
            why = "has a loss of its own, and a stack lowers the mean cross entropy only"
        elif arm.starts_from is not None:
            why = f"starts from {arm.starts_from!r}, and a stack begins with drawn weights only"
        elif arm.reads is None and getattr(arm.config, "reads_input", False):
            why = "lets an input see itself, which gives each batch a mask of its own"
        if why:
            raise ConfigError(f"stack = {profile.stack}, and arm {arm.name!r} {why}: take stack = 1")


class _Zeros:
    """A row of one token over and over."""

    def __init__(self, length: int) -> None:
        row = np.zeros((1, length), dtype=np.int64)
        self.one = Batch(row, row, "")

    def batch(self, step: int) -> Batch:
        return self.one


def check_stacked(sized: Mapping[str, Sized], claim: Claim, profile: Profile) -> None:
    """What else cannot be stacked shows in two steps of two seeds: a model that draws random numbers or branches on
    them, an optimizer that mixes those of a parameter, and whatever two seeds trained alone come out of otherwise."""
    if profile.stack == 1:
        return
    task = claim.task
    assert isinstance(task, Trained)
    for arm in claim.trained_arms():
        models, alone = ([_drawn(sized[arm.name].config, seed) for seed in (1, 2)] for _ in range(2))
        rows = [_Zeros(length_of(arm, task)) for _ in models]
        refusal = f"stack = {profile.stack}, and arm {arm.name!r} cannot be stacked: take stack = 1. Two steps of two "
        try:
            train_stacked(models, rows, task.recipe, learning_rate=0.0, steps=2)
        except Exception as error:
            told = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
            raise ConfigError(f"{refusal}seeds met: {told.splitlines()[0]}") from error
        for one, twin, row in zip(models, alone, rows, strict=True):
            train(twin, row, task.recipe, learning_rate=0.0, steps=2)
            if odd := _unlike(one, twin, torch.from_numpy(row.one.tokens)):
                raise ConfigError(f"{refusal}seeds leave other {odd} than each seed alone")


def _drawn(config: Any, seed: int) -> nn.Module:
    model = built(config, seed)
    draw(model, seed)
    return model


@torch.no_grad()
def _unlike(one: nn.Module, other: nn.Module, tokens: Tensor) -> str:
    """What two models differ in besides rounding, in words; empty where they are alike."""
    ours, theirs = weights(one), weights(other)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs or not _near(ours[name], theirs[name]):
            return f"numbers in {name!r}"
    return "" if _near(one(tokens), other(tokens)) else "logits"


def _near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-4, equal_nan=True)


def check_vocabulary(claim: Claim) -> None:
    """Raise ConfigError unless every model speaks the vocabulary of its data."""
    for arm in claim.arms:
        wanted = claim.data_of(arm).vocab_size
        own = getattr(arm.config, "vocab_size", wanted)
        if own != wanted:
            raise ConfigError(f"arm {arm.name!r} has vocab_size = {own}, the data has {wanted}: make them equal")


def check_modules(sized: Mapping[str, Sized], claim: Claim) -> None:
    """What a module from elsewhere must keep to: logits of this vocabulary, and no look ahead unless it says so."""
    assert isinstance(claim.task, Trained)
    length = claim.task.train_length
    for name, config in {name: one.config for name, one in sized.items()}.items():
        if not isinstance(config, AnyModule.Config):
            continue
        vocabulary = claim.data_of(claim.arm(name)).vocab_size
        model = built(config).eval()
        with torch.no_grad():
            given = model(torch.zeros((1, length), dtype=torch.int64)).shape[-1]
        if given != vocabulary:
            raise ConfigError(
                f"arm {name!r} gives logits of {given} tokens, the data has {vocabulary}: make them equal"
            )
        if config.causal and length > 1 and (at := sees_ahead(model, length, vocabulary)) is not None:
            raise ConfigError(
                f"arm {name!r} sees the future: its logits at token {at} change when tokens from {(length + 1) // 2} "
                "on do. Mask its attention, or say causal=False if that is meant and the targets are not among what "
                "it sees"
            )
