"""Contract of the family: scores -> weights over the last axis, exactly 0 where the mask is False.

A score of -inf hides its key as the mask does. A row whose keys are all hidden gives all zeros (attention then returns
the zero vector), with finite gradients. NaN scores give NaN weights, so that a run that diverged is seen as such;
`strict` raises instead.

A member whose weights are the gradient of a convex function of the scores has a regulariser Omega and maximises
<p, s> - Omega(p); `negentropy` is that Omega, zero at one-hot weights, `conjugate` the maximum, whose gradient is p.
They make the Fenchel-Young loss of the member (losses/fenchel_young.py).
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from paribus.core.config import Part, part_name
from paribus.core.errors import ConfigError, InputError


class Normalizer(Part, ABC):
    # Non-negative weights that sum to one; a member that departs from it says so here.
    simplex: ClassVar[bool] = True
    # Adding one number to all scores of a row changes nothing.
    shift_invariant: ClassVar[bool] = True
    # A larger score never gets a smaller weight.
    monotone: ClassVar[bool] = True
    # One-hot weights are among those that the member can give, so that an index may be the target of its loss.
    one_hot_targets: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """scores (..., keys), mask broadcastable to scores (True = may see) -> weights of the shape of scores."""

    def n_parameters(self) -> int:
        """Learned numbers; a member that has some is the `Config` of a module."""
        return 0

    def least_keys(self) -> int:
        """How many keys a row must show for the member to do what its fields say; with fewer it gives what it can."""
        return 1

    def check_heads(self, n_heads: int) -> None:
        """Raise ConfigError when the normalizer cannot serve that many heads."""

    def negentropy(self, weights: Tensor) -> Tensor:
        """Omega(p) over the last axis, for weights that this member gives."""
        raise ConfigError(
            f"{part_name(type(self))} maximises no <p, s> - Omega(p) and so has no Fenchel-Young loss: "
            "use SurrogateLoss, whose gradient is p - y for any normalizer"
        )

    def conjugate(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Omega*(s) = max_p <p, s> - Omega(p), given the weights where it is reached; (...) for scores (..., n)."""
        weights = weights.detach()  # at a maximum they may be held: the gradient in the scores is the weights
        reached = (weights * scores.where(weights > 0, 0.0)).sum(-1)
        return reached - self.negentropy(weights)

    def strict(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weights, or an error for what has no answer.

        InputError for NaN or +inf among visible scores, and for a row without any or with fewer than a member's k.
        """
        self.check_scores(scores, mask)
        return self(scores, mask)

    def check_scores(self, scores: Tensor, mask: Tensor | None = None) -> None:
        """Raise what `strict` raises."""
        if scores.shape[-1] == 0:
            raise InputError(f"scores {tuple(scores.shape)} have no keys: expected at least one in a row")
        seen = scores.detach() if mask is None else scores.detach().masked_fill(~mask, -float("inf"))
        top = seen.amax(-1)
        if bool((wrong := ~(top < float("inf"))).any()):
            raise InputError(
                f"scores of {int(wrong.sum())} of {wrong.numel()} rows hold NaN or +inf: expected finite numbers, or "
                "-inf for what must get no weight; look for the step that made them"
            )
        if bool((empty := top == -float("inf")).any()):
            raise InputError(
                f"{int(empty.sum())} of {empty.numel()} rows have no visible score to share the weight: show each row "
                "at least one, or call the normalizer itself, which gives zeros"
            )
        shown, wanted = (seen > -float("inf")).sum(-1), self.least_keys()
        if bool((few := shown < wanted).any()):
            raise InputError(
                f"{int(few.sum())} of {few.numel()} rows show fewer than the k = {wanted} keys of "
                f"{part_name(type(self))}, the shortest {int(shown.min())}: expected k <= keys of every row; take a "
                "smaller k, or call the normalizer itself, which then keeps them all"
            )
