"""y = W_2 (act(W_g x) * W_1 x)."""

from typing import ClassVar

from torch import Tensor, nn

from paribus.layers.activations.base import Activation
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.linear import Linear
from paribus.layers.width import width
from paribus.theory import flops


class GatedFeedForward(nn.Module):
    class Config(FeedForwardConfig):
        source: ClassVar[str] = "Shazeer, GLU Variants Improve Transformer, arXiv:2002.05202"
        activation: Activation = SiLU()

        def build(self) -> "GatedFeedForward":
            return GatedFeedForward(self)

        def n_parameters(self) -> int:
            return 3 * width(self) * self.d_ff

        def flops(self, length: int) -> int:
            return 3 * flops.linear(length, width(self), self.d_ff)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation = config.activation
        self.gate = Linear(width(config), config.d_ff)
        self.up = Linear(width(config), config.d_ff)
        self.down = Linear(config.d_ff, width(config), gain=config.residual_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


GatedFeedForward.Config.examples = (GatedFeedForward.Config(d_model=12, d_ff=20),)
