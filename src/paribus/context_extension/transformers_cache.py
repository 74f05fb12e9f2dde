"""Where the keys of a transformers model stand, kept beside its cache, and whose keys these are.

Under a map of distances a cache holds raw keys, so each read needs their positions; tokens that are left out of the
attention mask, or a jump of `position_ids`, leave gaps that cannot be told from how many keys there are. A cache that
the model filled under another reading is refused: its keys stand for other positions.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from paribus.context_extension.method import Reading
from paribus.core.errors import InputError

READING, PLACES, GUARDED = "_paribus_reading", "_paribus_places", "_paribus_guarded"


class Places:
    """Positions of all tokens of a forward pass, those in its cache first."""

    def __init__(self) -> None:
        self.before: Tensor | None = None  # (batch or 1, n_cached)
        self.now: Tensor | None = None  # (batch or 1, n_cached + n_new)
        self.found: dict[tuple[int, torch.device], tuple[Tensor, Tensor | None]] = {}

    def begin(self, before: Tensor | None) -> None:
        self.before, self.now, self.found = before, None, {}

    def hear(self, new: Tensor) -> None:
        """The positions of the new tokens, (batch or 1, n_new). Told twice in a pass, the last counts."""
        if new.dim() != 2:
            raise InputError(
                f"positions of shape {tuple(new.shape)}: a map of distances takes one number a token, (batch, length)"
            )
        old = self.before
        if old is not None:
            old = old.to(new.device)
            if len(old) not in (1, len(new)) and len(new) != 1:
                if bool((old != old[:1]).any()):
                    raise InputError(
                        f"a cache of {len(old)} sequences at different positions goes on with {len(new)}: which of "
                        "them these are is not known. Start with an empty cache, and give the whole text again"
                    )
                old = old[:1]
            rows = max(len(old), len(new))
            new = torch.cat([old.expand(rows, -1), new.expand(rows, -1)], dim=1)
        self.now, self.found = new, {}

    def keys(self, n_keys: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Positions (batch or 1, n_keys) of the last keys, padding at 0 or more; and which of them do not stand as far
        before the last one as they come before it, None where all do. device: of the layer that asks."""
        if (n_keys, device) not in self.found:
            if self.now is None or self.now.shape[1] < n_keys:
                known = 0 if self.now is None else self.now.shape[1]
                raise InputError(
                    f"the attention reads {n_keys} keys, and the positions of {known} are known: start with an empty "
                    "cache, and give the whole text again"
                )
            at = self.now[:, self.now.shape[1] - n_keys :]
            strays = at - at[:, -1:] != torch.arange(1 - n_keys, 1, device=at.device)
            any_stray = bool(strays.any())
            self.found[n_keys, device] = (at.clamp_min(0).to(device), strays.to(device) if any_stray else None)
        return self.found[n_keys, device]


def guard(body: nn.Module) -> None:
    """Watch the caches that a model is given and makes, for good: a restored model must not read those of before."""
    if not hasattr(body, GUARDED):
        body.register_forward_pre_hook(_before, with_kwargs=True)
        body.register_forward_hook(_after, with_kwargs=True)
        setattr(body, GUARDED, True)


def _before(body: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Before each forward pass."""
    mine: Reading | None = getattr(body, READING, None)
    places: Places | None = getattr(body, PLACES, None)
    if places is not None and named.get("output_attentions", _always(body)):
        raise InputError(
            "output_attentions=True: a model that is read by a map of distances writes no table of its attention "
            "weights; leave it out, or call restore(model) first"
        )
    cache = next(_caches((*given, *named.values())), None)
    n_cached = 0 if cache is None else int(cache.get_seq_length())
    if cache is not None and n_cached == 0:
        setattr(cache, READING, mine)
    elif cache is not None and (filled := getattr(cache, READING, None)) != mine:
        raise InputError(
            f"this cache was filled by {_spell(filled)}, and {_spell(mine)} is to go on with it: its keys stand for "
            "other positions. Start with an empty cache, and give the whole text again"
        )
    if places is not None:
        stood = getattr(cache, PLACES, None)
        # Of a cache that was cut, the first are left.
        places.begin(None if n_cached == 0 or stood is None else stood[:, :n_cached])


def _after(body: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
    """After each forward pass, which may have made the cache."""
    made = out if isinstance(out, tuple) else (getattr(out, "past_key_values", None),)
    places: Places | None = getattr(body, PLACES, None)
    for cache in _caches((*given, *named.values(), *made)):
        setattr(cache, READING, getattr(body, READING, None))
        if places is not None:
            setattr(cache, PLACES, places.now)


def _caches(values: Iterable[Any]) -> Any:
    return (value for value in values if hasattr(value, "get_seq_length"))


def _always(body: nn.Module) -> bool:
    return bool(getattr(getattr(body, "config", None), "output_attentions", False))


def _spell(reading: Reading | None) -> str:
    if reading is None:
        return "the model as it was trained"
    return f"{reading.position!r}" if reading.scale is None else f"{reading.position!r} with {reading.scale!r}"
