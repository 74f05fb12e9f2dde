"""Parameters and FLOPs of a config: as it declares them, or counted where it does not.

A config of the package prices itself. A user's own may declare `n_parameters()` and `flops(length, causal=False)` or
leave either away; then its model is built and one forward pass is watched. The watch sees matrix products,
convolutions and attention, not recurrent kernels or elementwise work: declare what it cannot see.
"""

import math
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from paribus.core.config import canonical_json, part_name
from paribus.core.errors import ConfigError, ParibusError
from paribus.models.weights import weights

Layout = dict[str, tuple[int, ...]]  # name -> shape, of all that a model's file of weights holds

PACKAGE = Path(__file__).parent.parent
INSTALLED = {"site-packages", "dist-packages"}

Key = tuple[Any, ...]
_LAYOUTS: dict[Key, tuple[Layout, int]] = {}  # with the number of parameters
_COUNTED: dict[Key, int] = {}  # a model is built and run once for each length


def n_parameters(config: Any) -> int:
    if hasattr(config, "n_parameters"):
        return int(config.n_parameters())
    return _watched(config)[1]


def flops(config: Any, length: int, causal: bool = False) -> float:
    """Forward FLOPs of one sequence; what is counted is counted over all pairs, whether or not a mask hides some."""
    if hasattr(config, "flops"):
        return float(config.flops(length, causal=causal))
    key = (*_key(config), length)
    if key not in _COUNTED:
        if not hasattr(config, "n_parameters"):
            _watched(config)  # a model that changes with the seed may not even run
        try:
            _COUNTED[key] = count(built(config), length)
        except ParibusError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the model of {called(config)} fails on {length} tokens{place(error)}: {type(error).__name__}: {error}"
            ) from error
    return float(_COUNTED[key])


def check_layout(config: Any, model: nn.Module, seed: int) -> None:
    """Raise ConfigError if a model that does not declare its size is another one at this seed than at others."""
    if hasattr(config, "n_parameters"):
        return
    _same(config, _watched(config)[0], layout_of(model), f"at seed {seed}")


def layout_of(model: nn.Module) -> Layout:
    return {name: tuple(tensor.shape) for name, tensor in weights(model).items()}


def built(config: Any, seed: int = 1) -> nn.Module:
    """A model to look at, the same each time; the generators of random numbers are left as they were."""
    with seeded(seed):
        model: nn.Module = config.build()
        return model


def seed_everything(seed: int) -> None:
    """For modules that draw their own parameters, whichever generator they draw them from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


def _watched(config: Any) -> tuple[Layout, int]:
    """Names and shapes, and the number of parameters, of a config that does not declare it; alike at two seeds."""
    key = _key(config)
    if key not in _LAYOUTS:
        first, second = _outline(config, 1), _outline(config, 2)
        _same(config, layout_of(first), layout_of(second), "at another seed")
        _LAYOUTS[key] = layout_of(first), sum(weight.numel() for weight in first.parameters())
    return _LAYOUTS[key]


def _outline(config: Any, seed: int) -> nn.Module:
    """The model without its numbers where it can be made so, which takes no time; whole where it cannot."""
    try:
        with torch.device("meta"):
            return built(config, seed)
    except (RuntimeError, NotImplementedError):
        return built(config, seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every generator of random numbers at a seed, and afterwards as it was."""
    state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            seed_everything(seed)
            yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002


def called(config: Any) -> str:
    """A config's name in a message, with what makes its module where that is the user's."""
    make = getattr(getattr(config, "make", None), "__qualname__", "")
    return part_name(type(config)) + (f"(make={make})" if make else "")


def place(error: Exception) -> str:
    """` (FILE:LINE)`, the last line of the user's own that led to the error; empty where there is none."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if INSTALLED.isdisjoint(Path(frame.filename).parts) and not frame.filename.startswith(str(PACKAGE))
    ]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _same(config: Any, usual: Layout, other: Layout, where: str) -> None:
    if usual == other:
        return
    name = min(name for name in usual.keys() | other.keys() if usual.get(name) != other.get(name))
    told = [f"has {name!r} of shape {at[name]}" if name in at else f"has no {name!r}" for at in (usual, other)]
    sizes = [sum(math.prod(shape) for shape in at.values()) for at in (usual, other)]
    raise ConfigError(
        f"the model of {called(config)} changes with the seed: it {told[0]}, and {where} it {told[1]} "
        f"({sizes[0]:,} numbers in all against {sizes[1]:,}). A seed may change the values of parameters, never their "
        "names, shapes or count: take sizes from the config, not from random numbers"
    )


def _key(config: Any) -> Key:
    """Two files may each have a class or function of the same name."""
    return type(config), getattr(config, "make", None), canonical_json(config), repr(config)


@torch.no_grad()
def count(model: nn.Module, length: int) -> int:
    """FLOPs that torch sees in one forward pass over `length` tokens; its counter takes fused attention for nothing."""
    tokens = torch.zeros((1, length), dtype=torch.int64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(tokens)
    return int(counter.get_total_flops())
