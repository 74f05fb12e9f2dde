"""From the tokens that a decoder reads to the positions of each layer, where tokens stand at places of their own.

A layer whose position code has a `placing` reads the places (x, y) that follow from the tokens; every other layer
counts. Given places, positions of shape (batch or 1, length, 2), are read as they are, by codes that take them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from paribus.attention.checks import check_state_is_of
from paribus.core.config import part_name, require, walk
from paribus.core.errors import InputError
from paribus.layers.mixer import MixerConfig
from paribus.positions.base import Position
from paribus.positions.placing.base import Placing


def placing_of(mixer: MixerConfig) -> Placing | None:
    """How the tokens of a layer get their places; None for a layer that counts. ConfigError where it can read none."""
    found = {part for part in walk(mixer) if isinstance(part, Placing)}
    require(len(found) <= 1, f"{len(found)} placings in one mixer: all position codes of a layer read the same places")
    require(
        not found or mixer.takes_places,
        f"{part_name(type(mixer))} reads one position a token, its position code has a placing: leave the placing "
        "away, or take GroupedQuery",
    )
    return next(iter(found), None)


class LayerPlaces:
    """What each layer of a model is told of its tokens. needs_tokens: some layer's places follow from all of them."""

    def __init__(self, mixers: Sequence[MixerConfig]) -> None:
        self.mixers = list(mixers)
        self.placings = [placing_of(mixer) for mixer in mixers]
        self.needs_tokens = any(self.placings)

    def __call__(self, tokens: Tensor, positions: Tensor) -> list[Tensor]:
        """The positions of the last tokens, one tensor a layer.

        tokens int64 (batch, n): all that was read so far. positions int64 (batch or 1, m), m <= n: what counting them
        gives; or places (batch or 1, m, 2) of any numbers. Raises InputError for places that a layer cannot read.
        """
        if positions.ndim == 3:
            check_places(self.mixers, positions)
        elif self.needs_tokens:
            made = {one: one(tokens, positions) for one in dict.fromkeys(self.placings) if one is not None}
            return [positions if one is None else made[one] for one in self.placings]
        return [positions] * len(self.mixers)


def check_places(mixers: Sequence[MixerConfig], places: Tensor) -> None:
    for mixer in mixers:
        codes = [part for part in walk(mixer) if isinstance(part, Position)]
        for part, takes in ((mixer, mixer.takes_places), *((code, code.takes_places) for code in codes)):
            if not takes:
                raise InputError(
                    f"positions {tuple(places.shape)}: {part_name(type(part))} reads one number a token; give "
                    "positions (batch, length), or take a model of GroupedQuery with Rotary2D"
                )
    if places.shape[-1] != 2:
        raise InputError(f"positions {tuple(places.shape)}: expected two coordinates a token, (batch, length, 2)")


class TokensRead:
    """What a decoder has read, from which the places of the next tokens follow."""

    def __init__(self, batch: int, capacity: int, device: torch.device) -> None:
        self.tokens = torch.zeros(batch, capacity, dtype=torch.int64, device=device)
        self.length = 0

    @property
    def batch(self) -> int:
        return len(self.tokens)

    def append(self, tokens: Tensor) -> Tensor:
        """All tokens so far, these included: (batch, length)."""
        check_state_is_of(self, tokens)
        end = self.length + tokens.shape[1]
        if end > self.tokens.shape[1]:
            raise InputError(
                f"there is room for {self.tokens.shape[1]} tokens, {end} are asked for: start with a larger capacity"
            )
        self.tokens[:, self.length : end] = tokens
        self.length = end
        return self.tokens[:, :end]
