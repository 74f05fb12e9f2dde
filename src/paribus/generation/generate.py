"""Read a prompt once, then one token after the other over a cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus.attention.masks.base import Mask
from paribus.attention.masks.prefix import Prefix
from paribus.attention.masks.visible import Visible
from paribus.core.config import require
from paribus.core.errors import ParibusError
from paribus.core.seed import generator
from paribus.generation.prompts import Padded, padded
from paribus.generation.samplers.base import Sampler
from paribus.generation.samplers.greedy import Greedy
from paribus.models.decoder import DecoderLM
from paribus.models.mixture import Mixture

NONE = -1  # in place of a token of a row that has ended


class Stream:
    """The new tokens of a batch, as they are chosen: an iterator of int64 (batch,), -1 for rows that have ended.

    A row ends after one of the `end` tokens, or when `finish` is told so; the iterator ends with the last row or after
    max_new_tokens. Row r of seed s draws from a stream of its own: it does not depend on its neighbours. The model is
    in evaluation mode while a token is computed, and between tokens as it was.
    Raises ParibusError where the logits of a token are no numbers.
    """

    def __init__(
        self,
        model: DecoderLM | Mixture,
        prompts: Tensor | Sequence[Tensor],
        max_new_tokens: int,
        sampler: Sampler | None = None,
        seed: int = 0,
        end: Sequence[int] = (),
        chunk: int = 512,
    ) -> None:
        """chunk: how many tokens of the prompt are read at a time, which bounds the memory of long prompts.

        A model whose mask is InputPrefix reads its prompt as an input, in one piece.
        """
        require(max_new_tokens >= 1, f"max_new_tokens = {max_new_tokens}: expected at least 1")
        require(chunk >= 1, f"chunk = {chunk}: expected at least 1 token")
        self.model, self.sampler, self.end, self.chunk = model, sampler or Greedy(), frozenset(end), chunk
        device = next(model.parameters()).device
        given = Padded(*(tensor.to(device) for tensor in padded(prompts, model.config.vocab_size)))
        batch, length = given.tokens.shape
        capacity = length + max_new_tokens
        self.state: Any = model.start(batch, capacity)
        self.modules = tuple(model.modules())
        self.prompt, self.capacity = given, capacity
        self.mask: Mask | None = None
        if not bool(given.valid.all()):
            later = torch.ones(batch, max_new_tokens, dtype=torch.bool, device=given.valid.device)
            self.mask = Visible(valid=torch.cat([given.valid, later], dim=1))
        if model.config.reads_input:
            # The prompt is the input. Its tokens see each other, so it is read in one piece.
            named = Prefix(length=length)
            self.mask, self.chunk = named if self.mask is None else named & self.mask, length
        # The text so far, for filters that look at it.
        self.seen = given.tokens.where(given.valid, NONE)
        self.ended = torch.zeros(batch, dtype=torch.bool)
        self.random = [generator(seed, "generation", row) for row in range(batch)]
        self.logits: Tensor | None = None

    def __iter__(self) -> "Stream":
        return self

    @torch.no_grad()
    def __next__(self) -> Tensor:
        if self.seen.shape[1] == self.capacity or bool(self.ended.all()):
            raise StopIteration
        learning = [module for module in self.modules if module.training]
        try:
            for module in learning:
                module.training = False
            logits = self._read_prompt() if self.logits is None else self._read_last()
        finally:
            for module in learning:
                module.training = True
        logits = self._checked(logits)
        uniform = torch.from_numpy(np.array([row.random() for row in self.random]))
        token = self.sampler(logits, self.seen, uniform)
        token = token.where(~self.ended.to(token.device), NONE)
        self.seen = torch.cat([self.seen, token[:, None]], dim=1)
        self.logits = logits
        for row, chosen in enumerate(token.tolist()):
            if chosen in self.end:
                self.finish(row)
        return token

    def finish(self, row: int) -> None:
        """End a row: what it gives from now on is -1."""
        self.ended[row] = True

    def _checked(self, logits: Tensor) -> Tensor:
        """The logits, or ParibusError where those of a row that goes on have no largest one."""
        odd = ~(logits.amax(dim=-1) > -torch.inf)  # so that NaN is odd too
        if not bool(odd.any()):
            return logits
        ended = self.ended.to(odd.device)
        rows = (odd & ~ended).nonzero().flatten().tolist()
        if rows:
            new = self.seen.shape[1] - self.prompt.tokens.shape[1] + 1
            wider = ", or read the model in float32" if logits.dtype.itemsize < 4 else ""
            raise ParibusError(
                f"new token {new} of prompt {rows[0] + 1} cannot be chosen: its logits are NaN, or all minus infinity; "
                "the weights are damaged or have diverged, or numbers overflow in "
                f"{str(logits.dtype).removeprefix('torch.')}: look at the weights{wider}"
            )
        return logits.masked_fill(ended[:, None], 0.0)

    def _read_prompt(self) -> Tensor:
        tokens, positions = self.prompt.tokens, self.prompt.positions
        for at in range(0, tokens.shape[1], self.chunk):
            part = slice(at, at + self.chunk)
            logits, self.state = self.model.prefill(tokens[:, part], positions[:, part], self.state, self.mask, last=1)
        return logits[:, -1]

    def _read_last(self) -> Tensor:
        token = self.seen[:, -1:].clamp_min(0)  # what an ended row reads is nobody's
        new = self.seen.shape[1] - self.prompt.tokens.shape[1]
        positions = self.prompt.positions[:, -1:] + new
        logits, self.state = self.model.prefill(token, positions, self.state, self.mask)
        return logits[:, -1]


def generate(
    model: DecoderLM | Mixture,
    prompts: Tensor | Sequence[Tensor],
    max_new_tokens: int,
    sampler: Sampler | None = None,
    seed: int = 0,
    end: Sequence[int] = (),
    chunk: int = 512,
) -> Tensor:
    """The new tokens, int64 (batch, n) with n <= max_new_tokens, -1 after the end of a row; see Stream."""
    return torch.stack(list(Stream(model, prompts, max_new_tokens, sampler, seed, end, chunk)), dim=1)
