"""The written-in-place rotation is the rotation: outputs and gradients, odd shapes, strided inputs."""

import pytest
import torch

from paribus.positions.pairing.half_split import HalfSplit, turn


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 1, 1, 2), (63, 6)])
def test_it_is_the_slow_twin(shape):
    x = torch.randn(shape, dtype=torch.float64)
    angle = torch.randn(shape[-2], shape[-1] // 2, dtype=torch.float64)
    weigh = torch.randn(shape, dtype=torch.float64)
    results = []
    for rotate in (HalfSplit().rotate, turn):
        own = x.clone().requires_grad_()
        y = rotate(own, angle.cos(), angle.sin())
        (y * weigh).sum().backward()
        results.append((y, own.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-13, atol=1e-14)


def test_strided_heads_and_gradcheck():
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64).transpose(1, 2).requires_grad_()
    angle = torch.randn(5, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: HalfSplit().rotate(x, angle.cos(), angle.sin()), x)
