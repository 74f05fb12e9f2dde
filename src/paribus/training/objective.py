"""What a step lowers: the cross entropy of the model's logits, or a loss of its output layer that an arm names.

    lowered = objective(model, loss, dtype)
    lowered(tokens, targets, **told) -> a number, differentiable once; told: see models.given_input

A loss of `paribus.losses.output` never sees logits of batch x length x vocabulary: the model gives its last hidden
states and its output matrix, and the loss makes the logits of a few tokens at a time. A model that can be trained so
has `hidden(tokens) -> (batch, length, d_model)` and `output_matrix`, (vocab_size, d_model).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from paribus.core.config import part_name, require
from paribus.losses.mean_cross_entropy import mean_cross_entropy
from paribus.losses.output.base import OutputLoss
from paribus.training.precision import autocast

Objective = Callable[..., Tensor]


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy over the targets that count, in nats, computed in float32."""
    return mean_cross_entropy(logits, targets)


def objective(model: nn.Module, loss: OutputLoss | None = None, dtype: str = "float32") -> Objective:
    """(tokens, targets) int64 (batch, length) each, targets IGNORED where nothing is asked -> the loss to be lowered.

    loss: None is `token_loss` of model(tokens). What a loss takes from the model, such as the frozen rows of a cost,
    is taken now: call this while the model stands where its training begins.
    Raises ConfigError for a model that shows no hidden states to a loss that needs them.
    """
    device = next(model.parameters()).device
    if loss is None:

        def of_logits(tokens: Tensor, targets: Tensor, **told: Any) -> Tensor:
            with autocast(dtype, device):
                logits = model(tokens, **told)
            return token_loss(logits, targets)

        return of_logits

    shown: Any = model
    require(
        hasattr(shown, "hidden") and hasattr(shown, "output_matrix"),
        f"{type(model).__name__} cannot be trained by {part_name(type(loss))}, which computes the logits itself: give "
        "the model `hidden(tokens)` and `output_matrix`, or leave the arm's loss away",
    )
    bound = loss.over(shown.output_matrix)

    def of_hidden(tokens: Tensor, targets: Tensor, **told: Any) -> Tensor:
        with autocast(dtype, device):
            hidden = shown.hidden(tokens, **told)
        if dtype == "bfloat16":  # as autocast would take the product
            hidden = hidden.to(torch.bfloat16)
        return bound(hidden, shown.output_matrix.to(hidden.dtype), targets)

    return of_hidden
