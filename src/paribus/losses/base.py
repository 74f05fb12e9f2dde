"""Contract of the family: (scores (..., n), target) -> the loss of every row (...), >= 0 unless a member says so.

Rows whose target is IGNORED lose 0 and pass no gradient. `reductions/` turn the rows into one number.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from paribus.core.config import Part, part_name, require
from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.normalizers.base import Normalizer


class Loss(Part, ABC):
    @abstractmethod
    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        """scores (..., n); what a target is, a member says."""


def check_index(target: Tensor, n: int, shape: torch.Size) -> None:
    """Raise InputError unless target holds, for each row of `shape`, an index below n or IGNORED."""
    if target.is_floating_point() or target.dtype == torch.bool or target.shape != shape:
        raise InputError(
            f"target {tuple(target.shape)} of {target.dtype}: expected one integer index for each row, {tuple(shape)}"
        )
    if bool(((target != IGNORED) & ((target < 0) | (target >= n))).any()):
        raise InputError(
            f"target from {target.min().item()} to {target.max().item()}: expected 0 <= target < {n}, or {IGNORED} for "
            "rows to be ignored"
        )


def check_weights(target: Tensor, n: int, shape: torch.Size) -> None:
    """Raise InputError unless target (*shape, n) holds weights >= 0 that sum to 1 in every row, or only zeros."""
    if target.shape != (*shape, n):
        raise InputError(f"target weights {tuple(target.shape)}: expected {(*shape, n)}, a weight for each of {n}")
    if target.numel() == 0:
        return
    total = target.sum(-1, dtype=torch.float32 if target.dtype.itemsize < 4 else None)
    slack = 1e-3 if target.dtype.itemsize >= 4 else 0.02  # weights of 8 bits do not sum to 1
    if not bool(((total == 0) | ((total - 1).abs() <= slack)).all()) or bool(target.min() < 0):
        raise InputError(
            f"target weights from {target.min().item():g}, with sums from {total.min().item():g} to "
            f"{total.max().item():g}: expected weights >= 0 that sum to 1 in every row, or zeros in rows to be ignored"
        )


def check_without_weights(normalizer: Normalizer) -> None:
    """Raise ConfigError for the Config of a module: its weight would be learned by a loss that it defines."""
    require(
        normalizer.n_parameters() == 0,
        f"{part_name(type(normalizer))} learns alpha, and the loss that belongs to alpha cannot choose it: use "
        "AlphaEntmax with an alpha of your choice",
    )
