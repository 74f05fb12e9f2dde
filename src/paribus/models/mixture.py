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


class Reading(NamedTuple):
    """model: how it reads. context: the last tokens that it reads; None: all."""

    model: DecoderLM
    context: int | None = None


class Mixture(nn.Module):
    """Reads, and generates, as a DecoderLM does; logits are ln p of the mixture.

    The first reading reads every token. In decoding, the last tokens of another are those that the state has room for
    at its end: with a prompt of n tokens, m new ones and a context c it begins to read at token n + m - c.
    Raises ConfigError for no reading, one of another vocabulary, or a context below 1.
    """

    def __init__(self, readings: Sequence[Reading]) -> None:
        super().__init__()
        require(len(readings) > 0, "a mixture of no readings: give at least one")
        require(readings[0].context is None, "the first reading of a mixture reads every token: give it no context")
        sizes = [reading.model.config.vocab_size for reading in readings]
        require(len(set(sizes)) == 1, f"readings of vocabularies of {sizes} tokens cannot be mixed: use one vocabulary")
        for reading in readings:
            if reading.context is not None:
                require(
                    reading.context >= 1, f"context = {reading.context}: expected at least 1 token, or None for all"
                )
        self.models = nn.ModuleList(reading.model for reading in readings)
        self.contexts = [reading.context for reading in readings]

    @property
    def config(self) -> DecoderLM.Config:
        """That of the first reading."""
        return self._readings()[0].model.config

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Any = None, last: int | None = None
    ) -> Tensor:
        """tokens int64 (batch, length) -> ln p (batch, length, vocab_size), or those of the `last` tokens only.

        Where a reading begins later, its positions, given or not, count from there.
        """
        length = tokens.shape[1]
        wanted, found = length if last is None else min(last, length), []
        for model, context in self._readings():
            skipped = 0 if context is None else max(0, length - context)
            at = None if positions is None else _from(positions, skipped)
            logits = model(tokens[:, skipped:], at, _without(mask, skipped), last=min(wanted, length - skipped))
            found.append(widened(logits).log_softmax(-1))
        return _mean(found)

    def start(self, batch: int, capacity: int) -> "MixtureState":
        """An empty state of every reading, for at most `capacity` tokens."""
        skipped = [0 if one.context is None else max(0, capacity - one.context) for one in self._readings()]
        states = [one.model.start(batch, capacity - skip) for one, skip in zip(self._readings(), skipped, strict=True)]
        return MixtureState(states, skipped, [None] * len(states), 0)

    def prefill(
        self, tokens: Tensor, positions: Tensor, state: "MixtureState", mask: Any = None, last: int | None = None
    ) -> tuple[Tensor, "MixtureState"]:
        """Read the next tokens, any number of them. Tokens that some readings skip are expected by the others."""
        length = tokens.shape[1]
        wanted, found = length if last is None else min(last, length), []
        states, origins = list(state.states), list(state.origins)
        for place, (model, _) in enumerate(self._readings()):
            skip = max(0, state.skipped[place] - state.length)
            if skip >= length:
                continue
            at = positions[:, skip:]
            origin = origins[place]
            if origin is None:
                origin = origins[place] = at[:, :1] if state.skipped[place] else torch.zeros_like(at[:, :1])
            shown = _without(mask, state.skipped[place])
            logits, states[place] = model.prefill(
                tokens[:, skip:], at - origin, states[place], shown, last=min(wanted, length - skip)
            )
            found.append(widened(logits).log_softmax(-1))
        return _mean(found), MixtureState(states, state.skipped, origins, state.length + length)

    def _readings(self) -> list[Reading]:
        return [
            Reading(model, context)
            for model, context in zip(self.models, self.contexts, strict=True)
            if isinstance(model, DecoderLM)
        ]


class MixtureState(NamedTuple):
    states: list[Any]
    skipped: list[int]  # tokens that each reading leaves out at the beginning
    origins: list[Tensor | None]  # the position of the first token that it read, (batch or 1, 1)
    length: int


def _from(positions: Tensor, skipped: int) -> Tensor:
    return positions[:, skipped:] - positions[:, skipped : skipped + 1] if skipped else positions


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


def _mean(found: list[Tensor]) -> Tensor:
    """ln of the mean of probabilities; the readings end with the same token, and some begin later."""
    total = found[0]
    counts = torch.ones(total.shape[1], device=total.device)
    for one in found[1:]:
        n = one.shape[1]
        both = torch.logaddexp(total[:, -n:], one)
        total = torch.cat((total[:, :-n], both), dim=1)
        counts[-n:] += 1
    return total if len(found) == 1 else total - counts.log()[:, None]
