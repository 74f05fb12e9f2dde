"""The loss that belongs to a normalizer: L = Omega*(s) + Omega(y) - <s, y>, dL/ds = p(s) - y.

Omega*(s) = max_p <p, s> - Omega(p) is convex, so L is convex in s, >= 0, and 0 exactly where p(s) = y. Cross entropy is
that of softmax; that of a sparse normalizer is 0 already at a finite lead of the target (1 / (alpha - 1)).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.base import Loss, check_index, check_without_weights
from paribus.normalizers.base import Normalizer
from paribus.normalizers.sparsemax import Sparsemax
from paribus.ops.precision import widened


class _WithGradient(torch.autograd.Function):
    """A value whose gradient in scores is known in closed form; the closed form itself stays differentiable."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scores: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, grads[0][..., None] * gradient, None


class FenchelYoung(Loss):
    """target: an index for each row, or weights of the shape of scores that the normalizer could give.

    Raises ConfigError for a normalizer that is the gradient of nothing (TaylorSoftmax) or has a weight of its own.
    """

    source: ClassVar[str] = "Blondel, Martins and Niculae, Learning with Fenchel-Young Losses, arXiv:1901.02324"
    examples: ClassVar[tuple["FenchelYoung", ...]] = ()
    normalizer: Normalizer = Sparsemax()

    def check(self) -> None:
        check_without_weights(self.normalizer)

    def __call__(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = widened(scores)
        if self.normalizer.shift_invariant:
            # Omega*(s + c) = Omega*(s) + c: with the maximum at 0 nothing is lost beside large scores.
            scores = scores - scores.detach().amax(-1, keepdim=True)
        p = self.normalizer(scores)
        if target.is_floating_point():
            return self._against(scores, p, target)
        check_index(target, scores.shape[-1], scores.shape[:-1])
        if not self.normalizer.one_hot_targets:
            raise InputError(
                f"{type(self.normalizer).__name__} never gives one-hot weights: expected target weights (..., n), such "
                "as 1 / k at the k wanted entries"
            )
        kept = (target != IGNORED)[..., None]
        index = target[..., None].where(kept, 0)
        gradient = p.scatter_add(-1, index, -torch.ones_like(index, dtype=p.dtype)).where(kept, 0.0)
        with torch.no_grad():
            value = self.normalizer.conjugate(scores, p) - scores.gather(-1, index)[..., 0]
            value = value.clamp_min(0).where(kept[..., 0], 0.0)
        return _WithGradient.apply(value, scores, gradient)  # type: ignore[no-untyped-call]

    def _against(self, scores: Tensor, p: Tensor, target: Tensor) -> Tensor:
        off = (target.sum(-1) - 1).abs().amax() if target.numel() else target.sum()
        if target.shape != scores.shape or not bool((target >= 0).all()):
            raise InputError(
                f"target weights {tuple(target.shape)}: expected the shape of scores {tuple(scores.shape)}, none "
                "negative and none NaN"
            )
        if self.normalizer.simplex and float(off) > 1e-3:
            raise InputError(f"target weights sum to 1 up to {float(off):.3g} only: expected the sum 1 in every row")
        target = target.to(scores.dtype)
        with torch.no_grad():
            fit = torch.linalg.vecdot(scores.where(target > 0, 0.0), target)
            value = (self.normalizer.conjugate(scores, p) + self.normalizer.negentropy(target) - fit).clamp_min(0)
        return _WithGradient.apply(value, scores, p - target)  # type: ignore[no-untyped-call]


FenchelYoung.examples = (FenchelYoung(),)
