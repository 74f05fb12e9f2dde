"""A riding loss: the value unchanged, its gradient added with weight 1."""

import torch

from paribus.ops.auxiliary import riding


def test_the_gradient_is_that_of_the_sum():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    y, loss = x**3, 0.1 * x.square().mean()
    ridden = riding(y, loss)
    assert torch.equal(ridden, y)
    (found,) = torch.autograd.grad(ridden.sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad(y.sum() + loss, x)
    torch.testing.assert_close(found, expected)
