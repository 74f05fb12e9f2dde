"""y = S(x) + sum over chosen experts of g_i E_i(x): for each token a few of many gated networks, and some for all.

    E_i(x) = W_2 (act(W_g x) * W_1 x), of width d_ff;  S is another, of width n_shared d_ff
    s = softmax(W_r x) over the n_experts, in float32
    chosen: the n_active largest s_i;  g_i = scale s_i, or scale s_i / (sum of the chosen s) if `normalise`

Group-limited choice (n_active_groups < n_groups): the experts lie in n_groups equal groups, in order; a group is worth
its largest s, and only experts of the n_active_groups best groups are chosen. Of equal scores, and of equal groups, the
lower number wins. Nothing passes from token to token, so the network is causal; but a choice jumps where two scores
meet: there a text read in other chunks, whose last bits differ, may take another expert.

In bfloat16 scores are still float32, experts compute in bfloat16, and their sum is taken in float32 and rounded once:
within 3 % of the largest output in float32 of the same rounded numbers. Gradients reach the router through g alone.
No loss that balances the experts is added.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.core.config import require
from paribus.layers.activations.base import Activation
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.linear import Linear
from paribus.layers.width import width
from paribus.ops.kernels import mapped
from paribus.ops.precision import widened
from paribus.theory import flops


class MixtureOfExperts(nn.Module):
    class Config(FeedForwardConfig):
        """d_ff: the width of one expert. Raises ConfigError for more chosen experts than can be chosen from, and for
        groups that do not divide."""

        source: ClassVar[str] = "DeepSeek-AI, DeepSeek-V2, arXiv:2405.04434, section 2.2"
        n_experts: int  # that are chosen from
        n_active: int  # of them, for each token
        n_shared: int = 0  # for every token
        n_groups: int = 1
        n_active_groups: int = 1  # all of n_groups: no limit
        normalise: bool = False
        scale: float = 1.0
        activation: Activation = SiLU()

        def check(self) -> None:
            super().check()
            require(self.n_experts >= 1, f"n_experts = {self.n_experts}: expected at least 1")
            require(self.n_shared >= 0, f"n_shared = {self.n_shared}: expected 0 or more")
            require(
                1 <= self.n_active <= self.n_experts,
                f"a token meets n_active = {self.n_active} of n_experts = {self.n_experts} experts: expected at least "
                "1, and at most as many as there are",
            )
            require(
                self.n_groups >= 1 and self.n_experts % self.n_groups == 0,
                f"n_experts ({self.n_experts}) must be divisible by n_groups ({self.n_groups})",
            )
            require(
                1 <= self.n_active_groups <= self.n_groups,
                f"n_active_groups = {self.n_active_groups} of n_groups = {self.n_groups}: expected at least 1, and at "
                "most as many as there are",
            )
            reach = self.n_active_groups * self.group_size
            require(
                self.n_active <= reach,
                f"n_active = {self.n_active}, but n_active_groups = {self.n_active_groups} groups of "
                f"{self.group_size} hold {reach} experts: choose fewer experts, or from more groups",
            )
            require(self.scale > 0, f"scale = {self.scale}: expected a positive number")

        @property
        def group_size(self) -> int:
            return self.n_experts // self.n_groups

        def build(self) -> "MixtureOfExperts":
            return MixtureOfExperts(self)

        def n_parameters(self) -> int:
            return self._numbers(self.n_experts)

        def active_parameters(self) -> int:
            return self._numbers(self.n_active)

        def parameters_read(self, tokens: int) -> float:
            """As if each token chose evenly and by itself: 1 - (1 - n_active / n_experts)^tokens of the experts."""
            met = 1 - (1 - self.n_active / self.n_experts) ** tokens
            return self._numbers(0) + met * (self._numbers(self.n_experts) - self._numbers(0))

        def _numbers(self, experts: int) -> int:
            """Of the router, of the shared experts, and of so many others."""
            return width(self) * (self.n_experts + 3 * (self.n_shared + experts) * self.d_ff)

        def flops(self, length: int) -> int:
            network = 3 * flops.linear(length, width(self), self.d_ff)
            return flops.linear(length, width(self), self.n_experts) + (self.n_shared + self.n_active) * network

        @property
        def inner_width(self) -> int:
            """Widths of the experts that a token meets, and copies of the token beside each chosen one."""
            return (self.n_shared + self.n_active) * self.d_ff + 2 * self.n_active * width(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.router = Linear(width(config), config.n_experts)
        self.experts = nn.ModuleList(_Expert(config, config.d_ff) for _ in range(config.n_experts))
        self.shared = _Expert(config, config.n_shared * config.d_ff) if config.n_shared > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) -> y of its shape and type."""
        tokens = x.reshape(-1, x.shape[-1])
        weights, chosen = self.route(tokens)
        # How many tokens an expert gets is known to no transform of torch.func.
        y = self.every_expert(tokens, weights, chosen) if mapped() else self.grouped(tokens, weights, chosen)
        if self.shared is not None:
            y = y + self.shared(tokens)
        return y.to(x.dtype).view_as(x)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (tokens, d_model) -> g in float32 or wider, and the experts' numbers: (tokens, n_active), best first."""
        config = self.config
        with torch.autocast(x.device.type, enabled=False):
            scores = F.linear(widened(x), widened(self.router.weight)).softmax(dim=-1)
        allowed = scores.detach()
        if config.n_active_groups < config.n_groups:
            groups = allowed.unflatten(-1, (config.n_groups, config.group_size))
            best = _largest(groups.amax(dim=-1), config.n_active_groups)
            closed = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter(-1, best, False)
            allowed = groups.masked_fill(closed[..., None], -1.0).flatten(-2)  # below every score
        chosen = _largest(allowed, config.n_active)
        weights = scores.gather(-1, chosen)
        if config.normalise:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return config.scale * weights, chosen

    def grouped(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Sum of g_i E_i(x), each expert called once with all tokens that chose it. Slow twin: every_expert."""
        flat = chosen.flatten()
        by_expert = flat.argsort(stable=True)
        counts = flat.bincount(minlength=len(self.experts)).tolist()
        parts = x[by_expert // chosen.shape[-1]].split(counts)
        # An expert without tokens has a gradient, which is zero; where none is asked for, the call is spared.
        needed = torch.is_grad_enabled() or len(x) == 0
        outputs = [expert(part) for expert, part in zip(self.experts, parts, strict=True) if needed or len(part)]
        each = torch.cat(outputs)[by_expert.argsort()].unflatten(0, chosen.shape)
        return (weights[..., None] * each).sum(dim=-2)

    def every_expert(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """The same sum: every expert reads every token, and weighs nothing where it was not chosen."""
        spread = weights.new_zeros(len(x), len(self.experts)).scatter(-1, chosen, weights)
        return torch.stack([g[:, None] * expert(x) for g, expert in zip(spread.unbind(-1), self.experts)]).sum(dim=0)


class _Expert(nn.Module):
    def __init__(self, config: MixtureOfExperts.Config, d_ff: int) -> None:
        super().__init__()
        self.activation = config.activation
        self.gate = Linear(width(config), d_ff)
        self.up = Linear(width(config), d_ff)
        self.down = Linear(d_ff, width(config), gain=config.residual_gain)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.activation(self.gate(x)) * self.up(x))
        return y


def _largest(x: Tensor, k: int) -> Tensor:
    """Places of the k largest along the last axis, largest first; of equal ones the first."""
    return x.argsort(dim=-1, descending=True, stable=True)[..., :k]


MixtureOfExperts.Config.examples = (
    MixtureOfExperts.Config(d_model=12, d_ff=5, n_experts=4, n_active=2, n_shared=1),
    MixtureOfExperts.Config(
        d_model=12, d_ff=3, n_experts=6, n_active=3, n_groups=3, n_active_groups=2, normalise=True, scale=2.5
    ),
)
