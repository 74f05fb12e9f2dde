"""Chunks against all pairs: outputs, states and gradients, with and without a denominator, odd lengths."""

import pytest
import torch

from paribus.ops.causal_product import causal_product, dense


def inputs(n, features=5, d=3, dtype=torch.float64):
    q, k = (torch.rand(2, 3, n, features, dtype=dtype) for _ in range(2))
    return q, k, torch.randn(2, 3, n, d, dtype=dtype)


def tril(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


@pytest.mark.parametrize("eps", [None, 1e-6])
@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("n", [1, 4, 7, 63])
def test_it_is_the_slow_twin(n, chunk, eps):
    given = inputs(n)
    weigh = torch.randn(2, 3, n, 3, dtype=torch.float64)
    found = []
    for program in (lambda *x: causal_product(*x, eps=eps, chunk=chunk)[0], lambda *x: dense(*x, tril(n), eps)):
        own = [x.clone().requires_grad_() for x in given]
        o = program(*own)
        found.append([o, *torch.autograd.grad((o * weigh).sum(), own)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("eps", [None, 1e-6])
def test_gradcheck_with_a_state(eps):
    q, k, v = (x.requires_grad_() for x in inputs(7))
    total = torch.rand(2, 3, 5, 3, dtype=torch.float64, requires_grad=True)
    keys = torch.rand(2, 3, 5, 1, dtype=torch.float64, requires_grad=True)

    def work(q, k, v, total, keys):
        return causal_product(q, k, v, (total, keys), eps=eps, chunk=3)[0]

    assert torch.autograd.gradcheck(work, (q, k, v, total, keys))


@pytest.mark.parametrize("eps", [None, 1e-6])
@pytest.mark.parametrize("cuts", [(3, 1, 9), (1,) * 13, (12, 1)])
@torch.no_grad()
def test_the_state_carries_what_came_before(cuts, eps):
    q, k, v = inputs(13)
    whole, (total, keys) = causal_product(q, k, v, eps=eps, chunk=4)
    torch.testing.assert_close(total, k.transpose(-1, -2) @ v)
    if eps is not None:
        torch.testing.assert_close(keys[..., 0], k.sum(-2))
    state, parts = None, []
    for part in zip(*(x.split(cuts, dim=2) for x in (q, k, v))):
        o, state = causal_product(*part, state, eps=eps, chunk=4)
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole)
    torch.testing.assert_close(state[0], total)


@torch.no_grad()
def test_sixteen_bits_are_summed_in_float32():
    """A running sum of 300 ones in bfloat16 would stop at 256."""
    one = torch.ones(1, 1, 300, 1, dtype=torch.bfloat16)
    o, (total, _) = causal_product(one, one, one)
    assert o.dtype == torch.bfloat16
    assert total.dtype == torch.float32
    assert float(total) == 300


def test_no_second_derivative():
    q, k, v = (x.requires_grad_() for x in inputs(5))
    (first,) = torch.autograd.grad(causal_product(q, k, v)[0].square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()
