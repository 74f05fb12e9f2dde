"""Contract of the family: (hidden (..., d), head (vocabulary, d), target (...)) -> one number, in bounded memory.

The logits hidden @ head^T are made for a few tokens at a time. As the weight of each token's loss is known before it
is computed, its gradient is taken at once, in the same buffer, and nothing is computed twice: three matrix products,
as in the plain form, and memory O(chunk * vocabulary + gradients). Chunks of half-precision layers are computed in
float32 after the product, and the head's gradient is summed in float32. Differentiable once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paribus.core.config import Part, part_name, require
from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.base import check_index, check_weights
from paribus.losses.reductions.base import Reduction
from paribus.losses.reductions.token_mean import TokenMean
from paribus.ops.precision import widened

# logits (chunk, vocabulary), free to overwrite; target (chunk,), or for a soft rule weights (chunk, vocabulary)
# -> (losses (chunk,), d losses / d logits)
Rule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

NUMBERS_AT_ONCE = 1 << 25  # in the buffers of a chunk: 128 MiB of float32


class OutputLoss(Part, ABC):
    reduction: Reduction = TokenMean()
    chunk: int | None = None  # tokens at once; None: as many as fill 128 MiB
    buffers: ClassVar[int] = 1  # of chunk x vocabulary numbers, that the rule holds at a time

    def check(self) -> None:
        require(self.chunk is None or self.chunk >= 1, f"chunk = {self.chunk}: expected at least 1 token, or None")

    @abstractmethod
    def rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and their gradients for one chunk, none of it ignored."""

    def soft_rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The same for target weights (chunk, vocabulary), float32 or wider; by default there is none."""
        raise InputError(
            f"{part_name(type(self))} takes the index of one token as target, not weights {tuple(target.shape)} of "
            f"{target.dtype}: give int64 indices, or use CrossEntropy or EarthMover, which take weights"
        )

    def __call__(self, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
        """The reduced loss; target int64 with IGNORED where nothing is asked, its last axis the sequence.

        Or weights (..., vocabulary) of floating numbers, each row summing to 1, or all 0 where nothing is asked.
        """
        return chunked(self, self.rule_for(target), hidden, head, target)

    def rule_for(self, target: Tensor) -> Rule:
        return self.soft_rule if target.is_floating_point() else self.rule

    def over(self, head: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The loss for a training that starts from this head: itself, unless it keeps something of that start."""
        return self

    def extra_flops(self, vocab_size: int, d_model: int) -> int:
        """FLOPs a token, forward and backward together, beyond the three products with the head."""
        return 0

    def each(self, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
        """The loss of every token (...), 0 where ignored; without gradient."""
        return each(self, self.rule_for(target), hidden, head, target)


def tokens_at_once(loss: OutputLoss, vocabulary: int) -> int:
    return loss.chunk or max(16, NUMBERS_AT_ONCE // (vocabulary * loss.buffers))


def _kept(hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
    if head.ndim != 2 or hidden.shape[-1] != head.shape[1]:
        raise InputError(
            f"hidden {tuple(hidden.shape)} and head {tuple(head.shape)}: expected (..., d) and (vocabulary, d)"
        )
    if target.is_floating_point():
        check_weights(target, head.shape[0], hidden.shape[:-1])
        return target.amax(-1) > 0
    check_index(target, head.shape[0], hidden.shape[:-1])
    return target != IGNORED


def chunked(loss: OutputLoss, rule: Rule, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
    kept = _kept(hidden, head, target)
    weights = loss.reduction.weights(kept).flatten()
    size = tokens_at_once(loss, head.shape[0])
    flat = hidden.reshape(-1, hidden.shape[-1])
    return _Chunked.apply(flat, head, _rows(target), weights, rule, size)  # type: ignore[no-untyped-call]


def smoothed(tau: Tensor, smoothing: float) -> Tensor:
    """(1 - smoothing) tau + smoothing / n over the last axis."""
    return (1 - smoothing) * tau + smoothing / tau.shape[-1] if smoothing else tau


def _rows(target: Tensor) -> Tensor:
    return target.reshape(-1, target.shape[-1]) if target.is_floating_point() else target.flatten()


@torch.no_grad()
def each(loss: OutputLoss, rule: Rule, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
    kept = _kept(hidden, head, target).flatten()
    found = torch.zeros(kept.shape, dtype=widened(hidden[:0]).dtype, device=hidden.device)
    flat, targets = hidden.reshape(-1, hidden.shape[-1]), _rows(target)
    for index in kept.nonzero()[:, 0].split(tokens_at_once(loss, head.shape[0])):
        found[index] = rule(widened(flat[index] @ head.T), targets[index])[0]
    return found.view(hidden.shape[:-1])


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, weights: Tensor, rule: Rule, size: int
    ) -> Tensor:
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        total = hidden.new_zeros((), dtype=torch.float64)
        d_hidden = torch.zeros_like(hidden) if wants_hidden else None
        d_head = torch.zeros_like(head, dtype=widened(head[:0]).dtype) if wants_head else None
        for index in weights.nonzero()[:, 0].split(size):
            h, weight = hidden[index], weights[index]
            losses, grad = rule(widened(h @ head.T), target[index])
            total += (losses.double() * weight.double()).sum()
            if not (wants_hidden or wants_head):
                continue
            grad = grad.mul_(weight.to(grad.dtype)[:, None]).to(head.dtype)
            if d_hidden is not None:
                d_hidden[index] = grad @ head
            if d_head is not None and d_head.dtype == head.dtype:
                d_head.addmm_(grad.T, h)
            elif d_head is not None:
                d_head += grad.T @ h
        ctx.save_for_backward(d_hidden, None if d_head is None else d_head.to(head.dtype))
        return total.to(widened(hidden[:0]).dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        d_hidden, d_head = ctx.saved_tensors
        scale = grads[0]
        return (
            None if d_hidden is None else d_hidden * scale.to(d_hidden.dtype),
            None if d_head is None else d_head * scale.to(d_head.dtype),
            None,
            None,
            None,
            None,
        )
