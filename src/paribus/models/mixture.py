"""Several readings of one text, and the mean of what they expect: p(token) = 1/R sum_r p_r(token).

    -ln p(token) <= 1/R sum_r -ln p_r(token)

so a mixture is never worse than its readings are on average, and better the more they disagree. The readings may be one
model's weights read by several position methods, and shorter texts: one that reads only the last tokens stays within
its trained length, where a longer one sees more. Each costs what it costs alone.

Source: the linear opinion pool of Stone, The Opinion Pool, 1961; here over readings of the same weights.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paribus.attention.masks.visible import Visible
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.models.decoder import DecoderLM
from paribus.ops.precision import widened


class Component(NamedTuple):
    """One reading. model: how it reads. context: the last tokens that it reads; None: all.

    begin: tokens that stand in place of the first ones of its context, where it leaves out the beginning of a text.
    """

    model: DecoderLM
    context: int | None = None
    begin: tuple[int, ...] = ()

    def skipped(self, length: int) -> int:
        """How many of so many tokens it leaves out."""
        return 0 if self.context is None else max(0, length - self.context)


class Mixture(nn.Module):
    """Reads, and generates, as a DecoderLM does; logits are ln p of the mixture.

    The first reading reads every token. In decoding, the last tokens of another are those that the state has room for
    at its end: with a prompt of n tokens, m new ones and a context c it begins to read at token n + m - c.
    Raises ConfigError for no reading, one of another vocabulary, a context without room for a token, or a `begin` that
    is not of the vocabulary.
    """

    def __init__(self, readings: Sequence[Component]) -> None:
        super().__init__()
        require(len(readings) > 0, "a mixture of no readings: give at least one")
        require(readings[0].context is None, "the first reading of a mixture reads every token: give it no context")
        sizes = [reading.model.config.vocab_size for reading in readings]
        require(len(set(sizes)) == 1, f"readings of vocabularies of {sizes} tokens cannot be mixed: use one vocabulary")
        for reading in readings:
            n = len(reading.begin)
            require(
                reading.context is None or (isinstance(reading.context, int) and reading.context > n),
                f"context = {reading.context!r}: expected a whole number, more than the {n} tokens of `begin`, or None "
                "for all of the text",
            )
            require(
                all(0 <= token < sizes[0] for token in reading.begin),
                f"begin = {reading.begin}: expected tokens from 0 to {sizes[0] - 1}, those of the vocabulary",
            )
        self.models = nn.ModuleList(reading.model for reading in readings)
        self.readings = list(readings)

    @property
    def config(self) -> DecoderLM.Config:
        """That of the first reading."""
        return self.readings[0].model.config

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Any = None, last: int | None = None
    ) -> Tensor:
        """tokens int64 (batch, length) -> ln p (batch, length, vocab_size), or those of the `last` tokens only.

        Where a reading begins later, its positions, given or not, count from there.
        """
        length = tokens.shape[1]
        wanted, found = length if last is None else min(last, length), []
        if positions is None:
            positions = torch.arange(length, device=tokens.device)[None]
        for reading in self.readings:
            skip = reading.skipped(length)
            window = Window(tokens[:, skip:], positions[:, skip:])
            if skip > 0:
                window = _cut(reading.begin, window, positions[:, skip : skip + 1], 0)
            n = min(wanted, length - skip)
            logits = reading.model(window.tokens, window.positions, _without(mask, skip), last=n)
            found.append(_expected(logits, window.own))
        return _mean(found)

    def start(self, batch: int, capacity: int) -> "MixtureState":
        """An empty state of every reading, for at most `capacity` tokens."""
        skipped = [one.skipped(capacity) for one in self.readings]
        states = [one.model.start(batch, capacity - n) for one, n in zip(self.readings, skipped, strict=True)]
        return MixtureState(states, skipped, [None] * len(states), 0)

    def prefill(
        self, tokens: Tensor, positions: Tensor, state: "MixtureState", mask: Any = None, last: int | None = None
    ) -> tuple[Tensor, "MixtureState"]:
        """Read the next tokens, any number of them. Tokens that some readings skip are expected by the others."""
        length = tokens.shape[1]
        wanted, found = length if last is None else min(last, length), []
        states, origins = list(state.states), list(state.origins)
        for place, (reading, skipped) in enumerate(zip(self.readings, state.skipped, strict=True)):
            skip = max(0, skipped - state.length)
            if skip > 0 and skip >= length:
                continue
            window = Window(tokens[:, skip:], positions[:, skip:])
            if skipped > 0:
                origin = origins[place]
                if origin is None:
                    origin = origins[place] = positions[:, skip : skip + 1]
                window = _cut(reading.begin, window, origin, max(0, state.length - skipped))
            n = min(wanted, length - skip)
            logits, states[place] = reading.model.prefill(
                window.tokens, window.positions, states[place], _without(mask, skipped), last=n
            )
            found.append(_expected(logits, window.own))
        return _mean(found), MixtureState(states, state.skipped, origins, state.length + length)


class MixtureState(NamedTuple):
    states: list[Any]
    skipped: list[int]  # tokens that each reading leaves out at the beginning
    origins: list[Tensor | None]  # the position of the first token behind them, (batch or 1, 1), once it is read
    length: int


class Window(NamedTuple):
    """What a reading reads; own: (batch or 1, n), False where a token is not the text's, None where all are."""

    tokens: Tensor
    positions: Tensor
    own: Tensor | None = None


def _cut(begin: tuple[int, ...], window: Window, origin: Tensor, slot: int) -> Window:
    """Of a text whose beginning is left out: `begin` in place of its first tokens, and positions that count from there.

    Raises InputError for places of two coordinates, of which it is not said where they begin anew.

    origin: the position of the first token that is not left out; 0 in a sequence that begins there, behind padding,
    and is not cut. slot: how many tokens behind it these stand.
    """
    if window.positions.ndim != 2:
        raise InputError(
            f"positions of shape {tuple(window.positions.shape)}: a reading that leaves out the beginning of a text "
            "takes one number a token, (batch or 1, length)"
        )
    tokens, positions = window.tokens, window.positions - origin
    places = torch.arange(slot, slot + tokens.shape[1], device=tokens.device)
    if slot >= len(begin):
        return Window(tokens, positions)
    before = (places < len(begin)) & (origin > 0)
    instead = torch.tensor(begin, dtype=tokens.dtype, device=tokens.device)[places.clamp_max(len(begin) - 1)]
    return Window(instead.where(before, tokens), positions, ~before)


def _without(mask: Any, skipped: int) -> Any:
    """The mask of a call for what is left of it."""
    if mask is None or skipped == 0:
        return mask
    if not isinstance(mask, Visible):
        raise InputError(
            f"{type(mask).__name__} speaks of places in the whole text, and a reading of this mixture leaves out the "
            f"first {skipped} tokens: give readings of the whole text, or no mask but padding"
        )
    return Visible(valid=torch.as_tensor(mask.valid)[:, skipped:])


def _expected(logits: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """ln p, and where it counts: behind a token that is not the text's it does not."""
    found = widened(logits).log_softmax(-1)
    if own is None:
        return found, torch.ones(1, found.shape[1], dtype=torch.bool, device=found.device)
    own = own[:, own.shape[1] - found.shape[1] :]
    return found.masked_fill(~own[..., None], -torch.inf), own


def _mean(found: list[tuple[Tensor, Tensor]]) -> Tensor:
    """ln of the mean of probabilities; the readings end with the same token, and some begin later."""
    (total, own), *others = found
    if not others:
        return total
    count = own.to(total.dtype)
    for one, own in others:
        n = total.shape[1] - one.shape[1]
        total = torch.cat((total[:, :n], torch.logaddexp(total[:, n:], one)), dim=1)
        rows = max(len(own), len(count))
        count = torch.cat((count[:, :n].expand(rows, -1), (count[:, n:] + own).expand(rows, -1)), dim=1)
    return total - count.log()[..., None]
