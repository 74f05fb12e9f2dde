"""W_2 (act(W_g x) * W_1 x)."""

import torch

from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.parameters import draw


def test_gated():
    x = torch.randn(4, 5)
    network = GatedFeedForward.Config(d_model=5, d_ff=7).build()
    draw(network, 0)
    gate = x @ network.gate.weight.T
    inner = gate * torch.sigmoid(gate) * (x @ network.up.weight.T)
    torch.testing.assert_close(network(x), inner @ network.down.weight.T)
