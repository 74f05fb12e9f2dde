"""y = g x / sqrt(mean(x^2) + eps)."""

import torch

from paribus.layers.norms.rms_norm import RMSNorm


def test_formula():
    norm = RMSNorm.Config(d_model=7, eps=0.01).build().double()
    norm.gain.data = torch.randn(7, dtype=torch.float64)
    x = torch.randn(5, 7, dtype=torch.float64)
    expected = norm.gain * x / (x.square().mean(dim=-1, keepdim=True) + 0.01).sqrt()
    torch.testing.assert_close(norm(x), expected)
