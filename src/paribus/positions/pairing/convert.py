"""Move the rows of a query or key projection from one pairing to another: same scores, no retraining."""

import torch
from torch import Tensor

from paribus.core.config import require
from paribus.positions.pairing.base import Pairing


def convert(weight: Tensor, n_heads: int, before: Pairing, after: Pairing) -> Tensor:
    """weight (n_heads * head_dim, d_model) or (n_heads * head_dim,), as one layout stores it -> as the other does.

    A wrong pairing still gives finite logits, so a checkpoint must be converted exactly once.
    """
    require(
        weight.shape[0] % n_heads == 0 and (weight.shape[0] // n_heads) % 2 == 0,
        f"a projection with {weight.shape[0]} rows cannot be {n_heads} heads of an even width",
    )
    head_dim = weight.shape[0] // n_heads
    to_half = torch.tensor(before.half_split_order(head_dim))
    from_half = torch.argsort(torch.tensor(after.half_split_order(head_dim)))
    heads = weight.unflatten(0, (n_heads, head_dim))
    return heads[:, to_half[from_half]].flatten(0, 1)
