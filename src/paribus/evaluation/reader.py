"""How the probes here ask a model: one call, whatever the model is."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Reader(Protocol):
    """tokens int64 (batch, n), positions int64 (batch or 1, n) -> logits (batch, last, vocab_size) of the last ones.

    A DecoderLM is one as it is.
    """

    def __call__(self, tokens: Tensor, positions: Tensor | None = None, *, last: int | None = None) -> Tensor: ...


def beginning(begin: Sequence[int], tokens: Tensor) -> Tensor:
    """The tokens (n,) with those before them that the model was trained to see at the beginning of every text."""
    return torch.cat([torch.tensor(begin, dtype=tokens.dtype, device=tokens.device), tokens])


@torch.no_grad()
def losses(read: Reader, tokens: Tensor, last: int, positions: Tensor | None = None) -> Tensor:
    """-ln p of each of the last `last` tokens given all before it, in nats, float32 (batch, last).

    tokens int64 (batch, n), n > last: the last token is only a target, so n - 1 are read.
    """
    before = positions if positions is None else positions[:, :-1]
    logits = read(tokens[:, :-1], before, last=last)
    return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, -last:].flatten(), reduction="none").unflatten(
        0, (len(tokens), last)
    )
