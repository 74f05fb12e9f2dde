"""How often each token came so far."""

import torch
from torch import Tensor


def counts(seen: Tensor, vocab_size: int) -> Tensor:
    """seen int64 (batch, n), -1 for none -> int64 (batch, vocab_size)."""
    found = torch.zeros(len(seen), vocab_size + 1, dtype=torch.int64, device=seen.device)
    # The place beyond the vocabulary takes what stands for none.
    places = seen.where(seen >= 0, vocab_size)
    return found.scatter_add_(-1, places, torch.ones_like(places))[:, :vocab_size]
