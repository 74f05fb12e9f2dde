"""What happens to a model's rotations beyond its trained length, and what each method would do about it.

A pair of coordinates with frequency theta turns L theta / 2 pi times within the trained length L. One that turned less
than once has met a part of its circle only, and meets unseen angles beyond L: those are the pairs that break.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from paribus.attention.scales.base import Scale
from paribus.context_extension.method import Change, changed
from paribus.core.errors import InputError
from paribus.models.checkpoints.rope import rotary_of
from paribus.positions.maps.base import PositionMap
from paribus.positions.rotary import Rotary
from paribus.theory.rope_base import lower_bound_within, max_length

EFFORT = 3e10  # of the search for the smallest base: enough for a million tokens, about a minute at most


@dataclass(frozen=True)
class Pair:
    """One pair of coordinates under plain RoPE."""

    index: int
    frequency: float  # radians per position
    wavelength: float  # positions
    turns_trained: float
    turns_asked: float

    @property
    def leaves(self) -> bool:
        """It meets angles that it never saw in training."""
        return self.turns_trained < 1 and self.turns_asked > self.turns_trained


@dataclass(frozen=True)
class Effect:
    """What a method makes of the asked length."""

    name: str
    pairs_outside: int  # pairs that still meet unseen angles
    slowest_arc: float  # asked over trained arc of the slowest pair; above 1 is unseen
    fastest_change: float  # new over old frequency of the fastest pair; 1 keeps near tokens apart as trained
    largest_distance: float  # at which a query still scores a key
    score_factor: float  # what scores are multiplied by besides
    spelled: str  # the parts with their numbers, as Python takes them


@dataclass(frozen=True)
class Explanation:
    base: float
    head_dim: int
    trained: int
    asked: int
    pairs: tuple[Pair, ...]
    bound: float  # the smallest base that can tell near from far at the asked length
    bound_found: bool  # False: the search was stopped at `bound`, below which there is none
    reach: int  # the longest length that this base can serve, by the same bound
    effects: tuple[Effect, ...]


def facts(config: Mapping[str, Any]) -> tuple[Rotary, int, int]:
    """Rotary positions, head_dim and trained length of a config.json. Raises InputError where one is not said."""
    rotary = rotary_of(config)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    trained = told.get("original_max_position_embeddings") or config.get("max_position_embeddings")
    if not trained:
        raise InputError(
            "config.json does not say max_position_embeddings: write the trained length into it under that name"
        )
    return rotary, int(head_dim), int(trained)


def explain(
    rotary: Rotary,
    head_dim: int,
    trained: int,
    asked: int,
    methods: Mapping[str, Sequence[Change]],
    effort: float = EFFORT,
) -> Explanation:
    """methods: name -> changes to compare. effort: of the search for the bound, see `lower_bound_within`.

    Raises InputError when asked <= trained.
    """
    if asked <= trained:
        raise InputError(f"--to {asked}: the model was trained at {trained}; ask for a longer length")
    theta = rotary.frequencies(head_dim)
    turn = theta / (2 * math.pi)
    pairs = tuple(
        Pair(i, float(theta[i]), 1 / float(turn[i]), trained * float(turn[i]), asked * float(turn[i]))
        for i in range(len(theta))
    )
    bound, found = lower_bound_within(effort, asked, head_dim)
    plain = {"plain": (rotary,)}
    effects = tuple(
        _effect(name, rotary, changes, head_dim, trained, asked) for name, changes in {**plain, **methods}.items()
    )
    return Explanation(
        base=rotary.base,
        head_dim=head_dim,
        trained=trained,
        asked=asked,
        pairs=pairs,
        bound=bound,
        bound_found=found,
        reach=max_length(rotary.base, head_dim),
        effects=effects,
    )


def _effect(name: str, rotary: Rotary, changes: Sequence[Change], head_dim: int, trained: int, asked: int) -> Effect:
    reading = changed(rotary, *changes)
    before, after = rotary.frequencies(head_dim), reading.position.frequencies(head_dim)
    largest = _largest_distance(reading.position.map, trained, asked)
    # Angles that training met: up to trained * theta, or all of the circle.
    met = torch.minimum(trained * before, torch.full_like(before, 2 * math.pi))
    meets = torch.minimum(largest * after, torch.full_like(after, 2 * math.pi))
    outside = int((meets > met * (1 + 1e-9)).sum())
    return Effect(
        name=name,
        pairs_outside=outside,
        slowest_arc=float(largest * after[-1] / (trained * before[-1])),
        fastest_change=float(after[0] / before[0]),
        largest_distance=largest,
        score_factor=reading.position.scaling.magnitude**2 * _factor(reading.scale, head_dim, asked),
        spelled=" + ".join(map(spell, changes)),
    )


def spell(part: Change) -> str:
    """A part with the numbers that are not its defaults: `YaRN(factor=2.0, train_length=8192)`."""
    told = [f"{one.name}={value!r}" for one in fields(part) if (value := getattr(part, one.name)) != one.default]
    return f"{type(part).__name__}({', '.join(told)})"


def _factor(scale: Scale | None, head_dim: int, asked: int) -> float:
    """What the scale makes of the scores of a query that sees all tokens, beside 1 / sqrt(head_dim)."""
    if scale is None:
        return 1.0
    ones = torch.ones(1, 1, 1, head_dim, dtype=torch.float64)
    q, _, softmax_scale = scale(ones, ones, torch.tensor([[[asked]]]))
    return float(q[0, 0, 0, 0]) * softmax_scale * math.sqrt(head_dim)


def _largest_distance(map: PositionMap, trained: int, asked: int) -> float:
    """The largest f(m, n) of a key that the last query sees.

    Looked for among the first and the last keys of a long text: windows and chunks are at most about the trained
    length, and between them no map has a farther key than at both ends.
    """
    reach = max(4 * trained, 1024)
    n = torch.arange(min(asked, reach))
    if asked > reach:
        n = torch.cat([n, torch.arange(max(reach, asked - reach), asked)])
    m = torch.full_like(n, asked - 1)
    seen = torch.zeros_like(n, dtype=torch.bool)
    for piece in map.causal_pieces():
        seen |= piece.pairs(m, n)
    return float(map(m[seen], n[seen]).max())
