"""What a model makes of context at a distance that it never saw, in seconds: two halves of one text, moved apart.

The first half stands at positions 0 to h - 1, the second at D to D + h - 1, so that every distance between the halves
is about D; the loss is taken on the second half. D = h is the text as it was. The second half alone tells what the far
half is worth: a method that handles the distance stays below it, one that breaks goes far above.

A jump in positions is no long text: it shows what distances do and nothing of how many keys compete.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.evaluation.reader import Reader, beginning, losses


class Probe(NamedTuple):
    """Mean loss of the second half in nats per token; `alone` has no first half."""

    alone: float
    at: dict[int, float]  # distance D -> loss


def distance_probe(
    read: Reader, tokens: Tensor, distances: Sequence[int], half: int = 640, begin: Sequence[int] = ()
) -> Probe:
    """tokens int64 (n,) of one text, n >= 2 half. begin: tokens before every text, counted in the half they stand in.

    Raises InputError for a shorter text or a distance below `half`.
    """
    if tokens.ndim != 1 or len(tokens) < 2 * half:
        raise InputError(
            f"the text has {tokens.shape[-1]} tokens, the distance probe reads {2 * half}: give a longer text"
        )
    low = [d for d in distances if d < half]
    if low:
        raise InputError(f"a distance of {low[0]} would overlap the first half: give distances from {half} on")
    text = beginning(begin, tokens)[None, : 2 * half]
    second = beginning(begin, text[0, half:])[None]
    near = torch.arange(half, device=tokens.device)
    # The first token of the second half has nothing before it when it stands alone: it is scored nowhere.
    alone = losses(read, second, half - 1).mean()
    at = {}
    for distance in distances:
        positions = torch.cat([near, distance + near])[None]
        at[distance] = float(losses(read, text, half - 1, positions).mean())
    return Probe(float(alone), at)
