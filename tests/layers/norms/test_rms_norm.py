"""y = g x / sqrt(mean(x^2) + eps)."""

import torch

from paribus.layers.norms.rms_norm import RMSNorm


def test_formula():
    norm = RMSNorm.Config(d_model=7, eps=0.01).build().double()
    norm.gain.data = torch.randn(7, dtype=torch.float64)
    x = torch.randn(5, 7, dtype=torch.float64)
    expected = norm.gain * x / (x.square().mean(dim=-1, keepdim=True) + 0.01).sqrt()
    torch.testing.assert_close(norm(x), expected)


def test_gain_and_gradients_are_those_of_torch():
    """The CPU's own program against F.rms_norm, its slow twin."""
    norm = RMSNorm.Config(d_model=7).build()
    x, weigh = torch.randn(3, 5, 7), torch.randn(3, 5, 7)
    with torch.no_grad():
        norm.gain.copy_(torch.randn(7))
    results = []
    for program in (norm, lambda y: torch.nn.functional.rms_norm(y, (7,), norm.gain, norm.eps)):
        own = x.clone().requires_grad_()
        norm.zero_grad()
        (program(own) * weigh).sum().backward()
        results.append((program(own).detach(), own.grad, norm.gain.grad.clone()))
    torch.testing.assert_close(results[0], results[1])
