"""What shows in one step of a model that is not all the package's own, before anything is spent.

Its forward runs once in training mode: the loss must reach its parameters, and the names and shapes of what a file of
weights holds must stay. Where several processes share the rows of a batch it runs twice more, with one row changed: a
row's logits must not follow another row, and no parameter or buffer what was read, as running means and the statistics
of BatchNorm do. Each process sees its own rows only, so such a model would be another one than with one process.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paribus.core.errors import ConfigError
from paribus.data.source import Source
from paribus.lab.claim import Arm, Claim, Profile
from paribus.lab.code import is_foreign
from paribus.layers.parameters import draw
from paribus.quantizers.base import Quantizer
from paribus.training.budget import Sized
from paribus.training.price import built, layout_of, place, seeded


def check_step(sized: Mapping[str, Sized], claim: Claim, profile: Profile) -> None:
    """Raise ConfigError, by name of the arm, for a model that one step shows to be untrainable or wrongly trained."""
    for arm in claim.trained_arms():
        config = sized[arm.name].config
        if is_foreign(config):
            tokens = _tokens(claim.data_of(arm), arm.length or claim.task.train_length)  # type: ignore[union-attr]
            _check_training(arm, config, tokens)
            if profile.processes > 1:
                _check_rows(arm, config, tokens, profile.processes)


def _tokens(data: Source, length: int) -> Tensor:
    """Two rows, int64 (2, length)."""
    return torch.randint(data.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))


def _check_training(arm: Arm, config: Any, tokens: Tensor) -> None:
    model = built(config)
    before = layout_of(model)
    logits = _forward(arm, model, tokens)
    if arm.loss is None and not logits.requires_grad:
        raise ConfigError(
            f"arm {arm.name!r} cannot be trained: its logits lead back to no parameter that asks for a gradient. Look "
            "for detach(), .data, torch.no_grad() or argmax in its forward, and for parameters that are all frozen"
        )
    after = layout_of(model)
    if before != after:
        odd = min(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise ConfigError(
            f"arm {arm.name!r} changes what it consists of while it is trained: {odd!r} has the shape "
            f"{before.get(odd)} before its forward and {after.get(odd)} after it, so its weights could not be read "
            "back: make all parameters and buffers, in their shapes, in __init__"
        )


def _check_rows(arm: Arm, config: Any, tokens: Tensor, processes: int) -> None:
    changed = torch.stack([tokens[0], (tokens[1] + 1) % (int(tokens.max()) + 1)])
    first, second = built(config), built(config)
    for model in (first, second):
        draw(model, 1)
    one, other = _forward(arm, first, tokens)[0], _forward(arm, second, changed)[0]
    cure = f"and each of {processes} processes reads rows of its own. Take processes = 1, or a norm of each row alone"
    follows = [name for name, value in _numbers(first).items() if _differ(value, _numbers(second)[name])]
    if follows:
        raise ConfigError(
            f"arm {arm.name!r} cannot be trained by processes = {processes}: {', '.join(map(repr, follows[:3]))} "
            f"follow what is read, like the running means of a BatchNorm, {cure}"
        )
    if not torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ConfigError(
            f"arm {arm.name!r} cannot be trained by processes = {processes}: the logits of a row follow the other rows "
            f"of its batch, {cure}"
        )


@torch.no_grad()
def _numbers(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers but those of the package's quantizers, which take their sums over all processes."""
    apart = [name + "." for name, module in model.named_modules() if isinstance(module, Quantizer)]
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items() if not name.startswith(tuple(apart))}


def _differ(one: Tensor, other: Tensor) -> bool:
    return not torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


def _forward(arm: Arm, model: nn.Module, tokens: Tensor) -> Tensor:
    """Logits in training mode, with the same random numbers each time."""
    with seeded(1):
        try:
            logits: Tensor = model.train()(tokens)
        except ConfigError as error:
            raise ConfigError(f"arm {arm.name!r}: {error}") from error
        except Exception as error:
            raise ConfigError(
                f"arm {arm.name!r} fails in training mode on tokens {tuple(tokens.shape)}{place(error)}: "
                f"{type(error).__name__}: {error}"
            ) from error
    return logits
