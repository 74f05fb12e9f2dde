"""Attention on matrix units against the dense reference in float64: outputs and gradients, grouped heads, odd sizes."""

import pytest
import torch

from paribus.attention import backends
from paribus.attention.attend import attend
from paribus.attention.tiled import available, tiled
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels
from paribus.positions.base import Piece
from paribus.positions.rotary import Rotary

needs_units = pytest.mark.skipif(not kernels.attention_available(), reason="this processor has no matrix units")


def reference(q, k, v, scale):
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    return attend([Piece(q, k, None)], v, scale=scale, normalizer=Softmax(), mask=mask)


def both(program, inputs, weigh, scale):
    own = [x.clone().requires_grad_() for x in inputs]
    out = program(*own, scale)
    out.backward(weigh)
    return [out.detach(), *(x.grad for x in own)]


@needs_units
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "n", "width", "value_width"),
    [
        (1, 1, 1, 8, 8),
        (4, 4, 16, 32, 32),
        (4, 2, 63, 24, 40),
        (4, 1, 100, 64, 64),
        (2, 2, 33, 80, 16),
        (2, 1, 250, 6, 2),
    ],
)
def test_it_is_the_slow_twin(heads, kv_heads, n, width, value_width, threads):
    shapes = [(2, heads, n, width), (2, kv_heads, n, width), (2, kv_heads, n, value_width), (2, heads, n, value_width)]
    *inputs, weigh = (torch.randn(shape).bfloat16() for shape in shapes)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = both(tiled, inputs, weigh, 0.3)
    torch.set_num_threads(before)
    expected = both(reference, [x.double() for x in inputs], weigh.double(), 0.3)
    for one, other in zip(found, expected):
        assert one.dtype == torch.bfloat16
        # Weights, steps and results are rounded to 8 bits each: about 2^-9 of the whole.
        error = (one.double() - other).norm()
        assert float(error) <= 2**-8 * float(other.norm()) + 1e-9
        assert float((one.double() - other).abs().max()) <= 2**-6 * float(other.abs().max()) + 1e-9


@needs_units
def test_strided_heads_and_large_scores():
    """Heads as a projection leaves them; scores whose exponentials only their maximum saves."""
    packed = (30 * torch.randn(2, 40, 3 * 4 * 16)).bfloat16()
    q, k, v = (x.unflatten(-1, (4, 16)).transpose(1, 2) for x in packed.chunk(3, dim=-1))
    found = tiled(q, k, v, 1.0)
    expected = reference(q.double(), k.double(), v.double(), 1.0)
    assert float((found.double() - expected).norm()) <= 2**-8 * float(expected.norm())
    assert found.transpose(1, 2).is_contiguous()


@needs_units
def test_a_score_that_is_no_number_is_seen():
    q, k, v = torch.randn(3, 1, 1, 40, 32).bfloat16()
    k[0, 0, 20, 0] = torch.nan
    out = tiled(q, k, v, 0.2)
    assert bool(out[0, 0, 20:].isnan().all())
    assert not out[0, 0, :16].isnan().any()


@needs_units
def test_runs_are_equal_bit_by_bit():
    q, k, v, weigh = torch.randn(4, 2, 4, 70, 32).bfloat16()
    for one, other in zip(both(tiled, (q, k, v), weigh, 0.2), both(tiled, (q, k, v), weigh, 0.2)):
        assert torch.equal(one, other)


@needs_units
def test_its_backward_says_that_it_is_the_last():
    q = torch.randn(1, 1, 5, 8).bfloat16().requires_grad_()
    out = tiled(q, q, q, 1.0)
    with pytest.raises(NotImplementedError, match="tiled attention"):
        torch.autograd.grad(out.sum(), q, create_graph=True)


def test_where_it_is_available():
    x = torch.randn(1, 2, 8, 16)
    units = kernels.attention_available()
    assert available(x.bfloat16(), x.bfloat16(), x.bfloat16()) == units
    assert not available(x, x, x)
    assert not available(x.bfloat16(), x.double(), x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert available(x, x, x) == units


def test_the_choice_and_its_reason():
    for able, program in ((["tiled", "native"], "tiled"), ([], "materialised")):
        choice = backends.choose(Softmax(), Rotary(), False, 64, "cpu", True, able)
        assert choice.program == program
        assert choice.why.startswith(program)
