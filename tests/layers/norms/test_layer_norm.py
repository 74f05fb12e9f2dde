"""y = g (x - mean(x)) / sqrt(var(x) + eps) + b."""

import torch

from paribus.layers.norms.layer_norm import LayerNorm


def test_formula():
    norm = LayerNorm.Config(d_model=7, eps=0.01, bias=True).build().double()
    norm.gain.data = torch.randn(7, dtype=torch.float64)
    norm.bias.data = torch.randn(7, dtype=torch.float64)
    x = torch.randn(5, 7, dtype=torch.float64)
    centred = x - x.mean(dim=-1, keepdim=True)
    expected = norm.gain * centred / (centred.square().mean(dim=-1, keepdim=True) + 0.01).sqrt() + norm.bias
    torch.testing.assert_close(norm(x), expected)


def test_blind_to_a_shift():
    norm = LayerNorm.Config(d_model=9).build().double()
    x = torch.randn(5, 9, dtype=torch.float64)
    torch.testing.assert_close(norm(x + 3.0), norm(x))
    assert [name for name, _ in norm.named_parameters()] == ["gain"]
