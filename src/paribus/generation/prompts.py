"""Prompts of several lengths as one batch, padded on the left so that all of them end at the same place."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paribus.core.errors import InputError


class Padded(NamedTuple):
    tokens: Tensor  # int64 (batch, length), 0 where there is none
    valid: Tensor  # bool (batch, length), False on the padding
    positions: Tensor  # int64 (batch, length), 0 at the first token of each prompt


def padded(prompts: Tensor | Sequence[Tensor], vocab_size: int) -> Padded:
    """A tensor (batch, length), or one int64 vector for each row."""
    if isinstance(prompts, Tensor) and prompts.ndim != 2:
        raise InputError(
            f"the prompt has shape {tuple(prompts.shape)}: expected (batch, length) with at least one token"
        )
    rows = list(prompts)
    if not rows:
        raise InputError("there is no prompt: give at least one")
    for row in rows:
        if not isinstance(row, Tensor):
            raise InputError(
                f"a prompt is a {type(row).__name__}: expected int64 tokens in a tensor, such as torch.tensor([1, 2])"
            )
        if row.is_floating_point() or row.is_complex() or row.dtype == torch.bool:
            raise InputError(f"a prompt holds {row.dtype} numbers: expected the int64 tokens that a tokenizer gives")
        if row.ndim != 1 or len(row) == 0:
            raise InputError(
                f"a prompt has shape {tuple(row.shape)}: expected (batch, length) with at least one token in each row"
            )
        if int(row.min()) < 0 or int(row.max()) >= vocab_size:
            raise InputError(
                f"the prompt has tokens {int(row.min())} to {int(row.max())}, the model knows 0 to {vocab_size - 1}: "
                "encode it with the tokenizer that the model was trained with"
            )
    lengths = torch.tensor([len(row) for row in rows])
    length = int(lengths.max())
    tokens = torch.stack([torch.nn.functional.pad(row.long(), (length - len(row), 0)) for row in rows])
    places = torch.arange(length) - (length - lengths)[:, None]
    device = tokens.device
    return Padded(tokens, (places >= 0).to(device), places.clamp_min(0).to(device))
