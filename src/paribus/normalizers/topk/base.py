"""Contract of smooth top-k: p in [0, 1]^n with sum p = k, keeping order, and the hard top k as temperature -> 0.

`select` gives p itself, for routers and selectors. As a normalizer a member gives p / k, which sums to one; a row that
sees at most k keys then shares its weight equally among them.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from paribus.core.config import part_name, require
from paribus.core.errors import InputError
from paribus.normalizers.base import Normalizer
from paribus.ops.precision import widened


class SmoothTopK(Normalizer, ABC):
    k: int = 8
    temperature: float = 1.0
    one_hot_targets: ClassVar[bool] = False
    # Whether `select` takes k that are not whole numbers.
    real_k: ClassVar[bool] = True

    def check(self) -> None:
        require(self.k >= 1, f"k = {self.k}: expected at least 1")
        require(self.temperature > 0, f"temperature = {self.temperature}: expected a positive number")

    def least_keys(self) -> int:
        return self.k

    @abstractmethod
    def spread(self, x: Tensor, k: Tensor, largest: int) -> Tensor:
        """x (rows, n), -inf where hidden; k (rows, 1), 0 < k < number seen, k <= largest -> p (rows, n), sum p = k."""

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = scores.detach() != -torch.inf  # NaN counts, and shows
        if mask is not None:
            seen = seen & mask
        k = seen.sum(-1, keepdim=True).clamp(max=self.k)
        p = self._spread(scores, seen, k, min(self.k, scores.shape[-1]))
        return (p / k.clamp_min(1)).to(scores.dtype)

    def select(self, scores: Tensor, mask: Tensor | None = None, k: Tensor | float | None = None) -> Tensor:
        """p of the shape of scores with sum p = k; k may differ by row: shape (...) for scores (..., n).

        k = 0 gives zeros, k = number of keys seen gives ones. InputError for any k outside, and for NaN.
        """
        if bool(scores.isnan().any()):
            raise InputError("scores hold NaN: expected numbers, or -inf for what must not be selected")
        seen = scores > -torch.inf if mask is None else mask.expand(scores.shape) & (scores > -torch.inf)
        wanted = torch.as_tensor(self.k if k is None else k, device=scores.device)
        wanted = wanted.expand(scores.shape[:-1]).unsqueeze(-1)
        count = seen.sum(-1, keepdim=True)
        if bool(((wanted < 0) | (wanted > count)).any()):
            raise InputError(
                f"k from {wanted.min().item()} to {wanted.max().item()}, of rows that see {count.min().item()} to "
                f"{count.max().item()} keys: expected 0 <= k <= keys seen in every row"
            )
        if not self.real_k and bool((wanted != wanted.round()).any()):
            raise InputError(f"{part_name(type(self))} counts subsets, so k must be whole: use LaplaceTopK for real k")
        return self._spread(scores, seen, wanted, int(wanted.max().ceil()) if wanted.numel() else 0).to(scores.dtype)

    def _spread(self, scores: Tensor, seen: Tensor, k: Tensor, largest: int) -> Tensor:
        x = (widened(scores) / self.temperature).masked_fill(~seen, -torch.inf)
        count = seen.sum(-1, keepdim=True)
        # Rows with k = 0 or k = all have their answer; they pass through as rows of equal scores.
        settled = (k <= 0) | (k >= count)
        inner = x.masked_fill(settled, 0.0).flatten(0, -2) if x.ndim > 1 else x.masked_fill(settled, 0.0)[None]
        inner_k = k.to(x.dtype).where(~settled, 0.5 * x.shape[-1]).reshape(-1, 1)
        p = self.spread(inner, inner_k, largest).view(x.shape)
        p = (seen & (k > 0)).to(x.dtype).where(settled, p)
        return p.masked_fill((x.isnan() | (x == torch.inf)).any(-1, keepdim=True), torch.nan).masked_fill(~seen, 0.0)
