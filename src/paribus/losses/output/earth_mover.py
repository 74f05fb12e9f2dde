"""Cross entropy joined by the cost of moving the predicted distribution onto the target token.

    q = softmax(hidden head^T),   C_j = 1 - cos(e_j, e_y),   L = sum_j q_j C_j,   dL / dz_j = q_j (C_j - L)
    loss = (1 - share) MLE + share r (L + q_y),   r = sg[MLE / (L + q_y)],   MLE = -log q_y

For a one-hot target L is the earth mover's distance itself, as there is one plan only. q_y in the second term is held
constant (the published adaptive form, which takes the target's own mass out of the predicted mean embedding): it
keeps the ratio r finite as L -> 0, and the value of the loss equal to MLE. The gradient of L is bounded and vanishes
where q sits on one wrong token, so the loss is for models that are trained already.

The embeddings e are frozen: normalised copies, which no gradient reaches, even of a head that goes on training. Only
C_j for the targets of a chunk is made, one product with e, neither one-hot rows nor a vocabulary x vocabulary matrix.

With smoothing the target is tau = (1 - smoothing) onehot(y) + smoothing / vocabulary, in both terms:
MLE = -sum_j tau_j log q_j,  C_j = 1 - <e_j, sum_i tau_i e_i>,  and q_y in the second term becomes <tau, q>. L is then
the cost of the independent plan: an upper bound of the earth mover's distance, which is not 0 at q = tau. So it is for
target weights (..., vocabulary), which take the place of onehot(y); they cost a second product with e.
"""

from typing import ClassVar, Literal, NoReturn

import torch
from torch import Tensor, nn

from paribus.core.config import require
from paribus.core.errors import ConfigError, InputError
from paribus.core.seed import generator
from paribus.losses.output.base import OutputLoss, Rule, chunked, each, smoothed
from paribus.ops.precision import widened


class EarthMover(nn.Module):
    """(hidden (..., d), head (vocabulary, d), target (...)) -> one number. Made by `EarthMover.Config().over(head)`.

    The target is an index, or weights (..., vocabulary).
    """

    unit: Tensor  # (vocabulary, width), rows of norm one
    middle: Tensor  # (vocabulary,), the cosine of each row with the mean row, times its length

    class Config(OutputLoss):
        source: ClassVar[str] = "Ren et al., EMO: Earth Mover Distance Optimization, arXiv:2310.04691"
        buffers: ClassVar[int] = 2
        share: float = 0.5  # of the transport term, in [0, 1]; the rest is cross entropy
        adaptive: bool = True  # False: loss = (1 - share) MLE + share L
        smoothing: float = 0.0  # of the target, in [0, 1)
        # "shuffled" gives every token the row of another, and "identity" is C_j = 1 - [j = y], so that L = 1 - q_y:
        # two controls that tell what of a gain is owed to the embeddings.
        ground: Literal["cosine", "shuffled", "identity"] = "cosine"

        def check(self) -> None:
            super().check()
            require(0 <= self.share <= 1, f"share = {self.share}: expected 0 <= share <= 1")
            require(0 <= self.smoothing < 1, f"smoothing = {self.smoothing}: expected 0 <= smoothing < 1")

        def over(self, embedding: Tensor) -> "EarthMover":
            """The loss with costs from these rows (vocabulary, width), the head before fine-tuning as a rule."""
            return EarthMover(self, embedding)

        def extra_flops(self, vocab_size: int, d_model: int) -> int:
            """One product with e, in the forward pass only."""
            return 0 if self.ground == "identity" else 2 * vocab_size * d_model

        def build(self) -> NoReturn:
            raise ConfigError("EarthMover needs the embeddings that define its cost: use config.over(head.weight)")

        def rule(self, logits: Tensor, target: Tensor) -> NoReturn:
            self.build()

        def soft_rule(self, logits: Tensor, target: Tensor) -> NoReturn:
            self.build()

    def __init__(self, config: Config, embedding: Tensor) -> None:
        super().__init__()
        self.config = config
        rows = widened(embedding.detach())
        if rows.ndim == 2:
            rows = rows / rows.abs().amax(-1, keepdim=True)  # first, so that no square underflows
            rows /= torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        if rows.ndim != 2 or not bool(rows.isfinite().all()):
            raise InputError(
                f"embedding {tuple(embedding.shape)}: expected (vocabulary, width) with finite rows, none of them "
                "zero, as a cosine needs a direction"
            )
        if config.ground == "shuffled":
            order = generator("shuffled costs", len(rows)).permutation(len(rows))
            rows = rows[torch.from_numpy(order).to(rows.device)]
        self.register_buffer("unit", rows)
        self.register_buffer("middle", rows @ rows.mean(0))

    def forward(self, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
        self._check(head)
        return chunked(self.config, self._rule_for(target), hidden, head, target)

    def each(self, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
        """The loss of every token, 0 where ignored; without gradient."""
        self._check(head)
        return each(self.config, self._rule_for(target), hidden, head, target)

    def cost(self, hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
        """L alone for every token, in [0, 2], 0 where ignored; without gradient."""
        self._check(head)
        of = self._soft_cost if target.is_floating_point() else self._cost
        return each(self.config, lambda z, y: of(torch.softmax(z, -1), y), hidden, head, target)

    def _check(self, head: Tensor) -> None:
        if head.shape[0] != self.unit.shape[0]:
            raise InputError(
                f"head of {head.shape[0]} tokens, costs of {self.unit.shape[0]}: make the loss over this vocabulary"
            )

    def _cost(self, q: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """L (chunk,) and the cosines 1 - C (chunk, vocabulary)."""
        if self.config.ground == "identity":
            cosine = torch.zeros_like(q).scatter_(-1, target[:, None], 1.0)
        else:
            cosine = self.unit[target] @ self.unit.T
        if share := self.config.smoothing:
            rest = 1 / q.shape[-1] if self.config.ground == "identity" else self.middle
            cosine.mul_(1 - share).add_(share * rest)
        return 1 - torch.linalg.vecdot(q.to(cosine.dtype), cosine), cosine

    def _soft_cost(self, q: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The same for target weights (chunk, vocabulary)."""
        tau = smoothed(target.to(self.unit.dtype), self.config.smoothing)
        cosine = tau.clone() if self.config.ground == "identity" else tau @ self.unit @ self.unit.T
        return 1 - torch.linalg.vecdot(q.to(cosine.dtype), cosine), cosine

    def _rule_for(self, target: Tensor) -> Rule:
        return self.soft_rule if target.is_floating_point() else self.rule

    def soft_rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        share, tau = self.config.share, smoothed(target.to(logits.dtype), self.config.smoothing)
        logits -= logits.amax(-1, keepdim=True)
        wanted = torch.linalg.vecdot(tau, logits.where(tau > 0, 0.0))
        total = logits.exp_().sum(-1, keepdim=True)
        q = logits.div_(total)
        mle = total.log()[:, 0] - wanted
        cost, cosine = self._soft_cost(q, target)
        losses, ratio = (1 - share) * mle + share * cost, torch.ones_like(mle)
        if self.config.adaptive:
            losses, ratio = mle, mle / (cost + torch.linalg.vecdot(tau, q) + 1e-10)
        pull = (share * ratio)[:, None]
        grad = cosine.neg_().add_(1 - cost[:, None]).mul_(pull).add_(1 - share).mul_(q)
        return losses, grad - (1 - share) * tau

    def rule(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        index, share, smoothing = target[:, None], self.config.share, self.config.smoothing
        even = smoothing / logits.shape[-1]
        logits -= logits.amax(-1, keepdim=True)
        wanted = logits.gather(-1, index)[:, 0]
        if smoothing:
            wanted = (1 - smoothing) * wanted + smoothing * logits.mean(-1)
        total = logits.exp_().sum(-1, keepdim=True)
        q = logits.div_(total)
        mle = total.log()[:, 0] - wanted
        cost, cosine = self._cost(q, target)
        losses, ratio = (1 - share) * mle + share * cost, torch.ones_like(mle)
        if self.config.adaptive:
            own = (1 - smoothing) * q.gather(-1, index)[:, 0] + even  # <tau, q>
            losses, ratio = mle, mle / (cost + own + 1e-10)
        # q [(1 - share) + share r (C - L)] - (1 - share) tau, in the buffer of the cosines.
        pull = (share * ratio)[:, None]
        grad = cosine.neg_().add_(1 - cost[:, None]).mul_(pull).add_(1 - share).mul_(q)
        if smoothing:
            grad -= (1 - share) * even
        at_target = torch.full_like(mle, (share - 1) * (1 - smoothing)).to(grad.dtype)
        return losses, grad.scatter_add_(-1, index, at_target[:, None])


EarthMover.Config.examples = (
    EarthMover.Config(),
    EarthMover.Config(chunk=3, share=0.3, adaptive=False),
    EarthMover.Config(share=0.4, adaptive=False, smoothing=0.2),
    EarthMover.Config(adaptive=False, ground="identity"),
)
