"""The four-pass form against relu and square, with gradients."""

import torch
from torch.nn import functional as F

from paribus.layers.activations.squared_relu import SquaredReLU


def test_it_is_the_slow_twin():
    x = torch.randn(7, 63)
    results = []
    for act in (SquaredReLU(), lambda x: F.relu(x).square()):
        own = x.clone().requires_grad_()
        y = act(own)
        (y * y).sum().backward()
        results.append((y, own.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_gradcheck():
    x = (torch.randn(5, dtype=torch.float64) + 3).requires_grad_()
    assert torch.autograd.gradcheck(SquaredReLU(), x)
    assert torch.autograd.gradcheck(SquaredReLU(), -x.detach().requires_grad_())
