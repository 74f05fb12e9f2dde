"""Loss and right answers of a model over rows of tokens: what the metrics share."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.data.batch import IGNORED
from paribus.models.given_input import given_input
from paribus.training.precision import autocast

TOKENS_AT_ONCE = 1024  # few enough for the scores to stay in cache: twice as fast as 8192 on a CPU


@torch.no_grad()
def score(
    model: nn.Module, tokens: Tensor, targets: Tensor, prefix: npt.NDArray[np.int64] | None, dtype: str
) -> tuple[float, int]:
    """(sum of -ln p over the targets that count, how many of them have the highest logit).

    tokens int64 (rows, n); targets int64 (rows, m), m <= n, those of the last m tokens, IGNORED where nothing is asked;
    prefix int64 (rows,): tokens of each row's input, or None.
    """
    device = next(model.parameters()).device
    loss, hits = 0.0, 0
    rows = max(1, TOKENS_AT_ONCE // tokens.shape[1])
    for at in range(0, len(tokens), rows):
        some = slice(at, at + rows)
        known = given_input(model, None if prefix is None else prefix[some])
        with autocast(dtype, device):
            logits = model(tokens[some].to(device), last=targets.shape[1], **known).float()
        wanted = targets[some].to(device)
        # Summed in float64, so that the result does not depend on how many rows are read at once.
        each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none")
        loss += float(each.double().sum())
        hits += int((logits.argmax(dim=-1) == wanted).sum())
    return loss, hits
