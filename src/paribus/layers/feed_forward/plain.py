"""y = W_2 act(W_1 x)."""

from typing import ClassVar

from torch import Tensor, nn

from paribus.layers.activations.base import Activation
from paribus.layers.activations.gelu import GELU
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.linear import Linear
from paribus.layers.width import width
from paribus.theory import flops


class FeedForward(nn.Module):
    class Config(FeedForwardConfig):
        source: ClassVar[str] = "Vaswani et al., Attention Is All You Need, arXiv:1706.03762"
        activation: Activation = GELU()

        def build(self) -> "FeedForward":
            return FeedForward(self)

        def n_parameters(self) -> int:
            return 2 * width(self) * self.d_ff

        def flops(self, length: int) -> int:
            return 2 * flops.linear(length, width(self), self.d_ff)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation = config.activation
        self.up = Linear(width(config), config.d_ff)
        self.down = Linear(config.d_ff, width(config), gain=config.residual_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


FeedForward.Config.examples = (FeedForward.Config(d_model=12, d_ff=20),)
