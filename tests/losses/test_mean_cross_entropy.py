"""The kernel against torch's own operations: values, gradients, ignored targets, wrong targets."""

import pytest
import torch

from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.mean_cross_entropy import mean_cross_entropy, written_out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (2, 3, 5)])
def test_it_is_the_slow_twin(dtype, shape):
    logits, targets = (3 * torch.randn(*shape, 11)).to(dtype), torch.randint(11, shape)
    targets.flatten()[2::3] = IGNORED
    results = []
    for program in (mean_cross_entropy, written_out):
        own = logits.clone().requires_grad_()
        loss = program(own, targets)
        (2.5 * loss).backward()
        assert loss.dtype == torch.float32
        results.append((loss.detach(), own.grad))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    tolerance = 2**-7 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(results[0][1], results[1][1], rtol=tolerance, atol=1e-7)


def test_nothing_asked_is_no_number():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    assert bool(mean_cross_entropy(logits, torch.full((2, 3), IGNORED)).isnan())


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_target_out_of_range(wrong):
    targets = torch.tensor([0, wrong, 4, IGNORED])
    with pytest.raises(InputError, match=r"targets from -100 to .* for 5 logits: expected 0 to 4, or -100"):
        mean_cross_entropy(torch.randn(4, 5), targets)


def test_its_backward_says_that_it_is_the_last():
    logits = torch.randn(3, 5, requires_grad=True)
    with pytest.raises(NotImplementedError, match="mean cross entropy"):
        torch.autograd.grad(mean_cross_entropy(logits, torch.zeros(3, dtype=torch.int64)), logits, create_graph=True)
