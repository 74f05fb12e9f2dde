"""What a model is told of a batch besides its tokens: which of them are the input."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from paribus.attention.masks.prefix import Prefix


def reads_input(model: nn.Module) -> bool:
    """Whether the model lets the tokens of an input see each other. A module from elsewhere does not."""
    return bool(getattr(getattr(model, "config", None), "reads_input", False))


def given_input(model: nn.Module, prefix: npt.NDArray[np.int64] | Tensor | None) -> dict[str, Any]:
    """Keywords for `model(tokens, ...)`; prefix int64 (batch,): the length of each row's input, None without inputs.

    A causal model is told nothing: what it may see of an input it sees anyway.
    """
    if prefix is None or not reads_input(model):
        return {}
    return {"mask": Prefix(length=torch.as_tensor(prefix))}
