"""W_2 act(W_1 x)."""

import torch

from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw


def test_plain():
    x = torch.randn(4, 5)
    network = FeedForward.Config(d_model=5, d_ff=7, activation=SquaredReLU()).build()
    draw(network, 0)
    inner = torch.relu(x @ network.up.weight.T) ** 2
    torch.testing.assert_close(network(x), inner @ network.down.weight.T)
