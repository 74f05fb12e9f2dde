"""What the arms of a claim must keep to, so that one task can train and read them all."""

from collections.abc import Mapping

import torch

from paribus.core.errors import ConfigError, nearest
from paribus.lab.claim import Arm, Claim, Profile, Trained
from paribus.models.any_module import AnyModule, sees_ahead
from paribus.training.budget import Sized
from paribus.training.price import built


def length_of(arm: Arm, task: Trained) -> int:
    """Tokens of a training row of this arm."""
    return task.train_length if arm.length is None else arm.length


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
