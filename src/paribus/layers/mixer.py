"""The contract of every sequence mixer: what attention and recurrences share.

    forward(x, positions, mask) -> y            a whole sequence, in parallel; training
    start(batch, capacity) -> state             an empty state for at most `capacity` tokens
    prefill(x, positions, state) -> (y, state)  the next tokens, any number of them; one token is a decoding step

x and y are (batch, length, d_model), positions int64 (batch or 1, length). A call of `prefill` on chunks gives what
one `forward` over the whole sequence gives. A mixer that looks ahead has no state: `start` refuses.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from paribus.core.config import Part


class MixerConfig(Part, ABC):
    families: ClassVar[tuple[str, ...]] = ("paribus.attention",)
    # True: positions may be places, (batch or 1, length, 2) of any numbers, if the position code takes them.
    takes_places: ClassVar[bool] = False
    # False: gradients are those of training (straight through a rounding), not those of the output.
    differentiable: ClassVar[bool] = True
    d_model: int | None = None  # None: the width of the model that holds it
    residual_gain: float = 1.0  # scale of the output matrix at the start; a model sets 1 / sqrt(2 n_layers)

    @abstractmethod
    def build(self) -> "Mixer": ...

    @abstractmethod
    def n_parameters(self) -> int: ...

    @abstractmethod
    def flops(self, length: int, causal: bool = False) -> int:
        """Forward FLOPs of one sequence of `length` tokens; `causal` skips the pairs above the diagonal."""

    def step_flops(self, length: int) -> int:
        """FLOPs of the decoding step of token number `length`: what it adds, unless steps go another way."""
        return self.flops(length, causal=True) - (self.flops(length - 1, causal=True) if length > 1 else 0)

    @abstractmethod
    def state_bytes(self, length: int, bytes_each: int = 4) -> int:
        """Bytes of what decoding remembers of one sequence after `length` tokens: keys, values, latents, sums.

        Where scores ask where a cached key stands (maps of distances, biases), 8 more a token: its position, int64.
        """

    @property
    @abstractmethod
    def causal(self) -> bool:
        """True when no output depends on a later token."""

    @property
    def reads_input(self) -> bool:
        """True when tokens of an input, which a call names by its mask, see each other; `causal` speaks of the rest."""
        return False


class Mixer(nn.Module, ABC):
    @abstractmethod
    def forward(self, x: Tensor, positions: Tensor, mask: Any = None) -> Tensor: ...

    @abstractmethod
    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> Any: ...

    @abstractmethod
    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Any = None) -> tuple[Tensor, Any]: ...
