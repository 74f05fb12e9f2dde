"""What several mixers ask of their configs, with a ConfigError, and of the states that they read."""

from typing import Any, Protocol

from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.positions.base import Position


def check_heads_divide(config: Any) -> None:
    """At least one head; where head_dim is not given, d_model is split evenly among them."""
    require(config.n_heads >= 1, f"n_heads = {config.n_heads}: expected at least 1")
    if config.head_dim is None and config.d_model is not None:
        require(
            config.d_model % config.n_heads == 0,
            f"d_model ({config.d_model}) must be divisible by n_heads ({config.n_heads}), or give head_dim",
        )


def check_order_is_told(position: Position, mask: Mask) -> None:
    """By the position code, or by a mask under which the first token sees one key and the next two."""
    require(
        position.sees_order or (mask.causal and not mask.reads_input),
        f"{type(position).__name__} under {type(mask).__name__} cannot tell the order of the tokens: use a causal mask "
        "or a position code",
    )


def check_mask_of_sums(mask: Mask) -> None:
    """Sums over keys can be run along a text or taken over all of it, and nothing else."""
    require(
        isinstance(mask, (Causal, Bidirectional)),
        f"{type(mask).__name__}: sums over keys know Causal() and Bidirectional() only",
    )


def check_turns_alone(position: Position) -> None:
    """Queries and keys are turned each by its own place, and no bias is added."""
    require(
        position.separable and type(position).bias is Position.bias,
        f"{type(position).__name__} is no rotation of each query and key by its own place: use one, such as Rotary(), "
        "or NoPosition()",
    )


class State(Protocol):
    @property
    def batch(self) -> int:
        """How many sequences it was started for."""


def check_state_is_of(state: State, x: Tensor) -> None:
    """A state holds one memory a sequence: InputError for x (batch, ...) of more or fewer sequences."""
    if state.batch != len(x):
        raise InputError(
            f"a state that was started for a batch of {state.batch} cannot read a batch of {len(x)}: start one of that "
            "size, and read the texts with it from their beginning"
        )
