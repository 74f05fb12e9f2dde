"""Causal attention in three calls against the dense reference: outputs and gradients, grouped heads, odd lengths."""

import pytest
import torch

from paribus.attention.attend import attend
from paribus.attention.materialised import materialised
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Piece


def reference(q, k, v, scale):
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    return attend([Piece(q, k, None)], v, scale=scale, normalizer=Softmax(), mask=mask)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 7, 63])
def test_it_is_the_slow_twin(n, kv_heads):
    inputs = [torch.randn(2, heads, n, 6, dtype=torch.float64) for heads in (4, kv_heads, kv_heads)]
    weigh = torch.randn(2, 4, n, 6, dtype=torch.float64)
    results = []
    for program in (materialised, reference):
        own = [x.clone().requires_grad_() for x in inputs]
        out = program(*own, 0.7)
        (out * weigh).sum().backward()
        results.append([out, *(x.grad for x in own)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-13)


def test_bfloat16_is_within_its_rounding():
    inputs = [torch.randn(2, 4, 33, 16) for _ in range(3)]
    exact = reference(*inputs, 0.25)
    short = materialised(*(x.bfloat16() for x in inputs), 0.25)
    # Weights and values are rounded to 8 bits each: a few times 2^-8 of the largest value.
    assert (short.float() - exact).abs().max() < 4 * 2**-8 * inputs[2].abs().max()
