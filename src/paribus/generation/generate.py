"""Read a prompt once, then one token after the other over a cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.generation.samplers.base import Sampler
from paribus.generation.samplers.greedy import Greedy
from paribus.models.decoder import DecoderLM


def stream(
    model: DecoderLM, prompt: Tensor, max_new_tokens: int, sampler: Sampler | None = None, seed: int = 0
) -> Iterator[Tensor]:
    """Yield the new tokens, int64 (batch,), as they are chosen.

    prompt int64 (batch, length) without padding, length >= 1. Equal seeds give equal tokens.
    """
    require(max_new_tokens >= 1, f"max_new_tokens = {max_new_tokens}: expected at least 1")
    if prompt.ndim != 2 or prompt.shape[1] == 0:
        raise InputError(
            f"the prompt has shape {tuple(prompt.shape)}: expected (batch, length) with at least one token"
        )
    if int(prompt.min()) < 0 or int(prompt.max()) >= model.config.vocab_size:
        raise InputError(
            f"the prompt has tokens {int(prompt.min())} to {int(prompt.max())}, the model knows 0 to "
            f"{model.config.vocab_size - 1}: encode it with the tokenizer that the model was trained with"
        )
    return _stream(model, prompt, max_new_tokens, sampler or Greedy(), seed)


@torch.no_grad()
def _stream(model: DecoderLM, prompt: Tensor, max_new_tokens: int, sampler: Sampler, seed: int) -> Iterator[Tensor]:
    model.eval()
    random = torch.Generator().manual_seed(seed)
    batch, length = prompt.shape
    state = model.start(batch, length + max_new_tokens)
    positions = torch.arange(length, device=prompt.device).expand(batch, -1)
    logits, state = model.prefill(prompt, positions, state, last=1)
    for place in range(length, length + max_new_tokens):
        token = sampler(logits[:, -1], random)
        yield token
        if place + 1 < length + max_new_tokens:
            here = torch.full((batch, 1), place, device=prompt.device)
            logits, state = model.prefill(token[:, None], here, state)


def generate(
    model: DecoderLM, prompt: Tensor, max_new_tokens: int, sampler: Sampler | None = None, seed: int = 0
) -> Tensor:
    """The new tokens, int64 (batch, max_new_tokens)."""
    return torch.stack(list(stream(model, prompt, max_new_tokens, sampler, seed)), dim=1)
