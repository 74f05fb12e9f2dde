"""Each kernel against what torch's own operations give: odd sizes, both types, any number of threads."""

import pytest
import torch
from torch.nn import functional as F

from paribus.ops import kernels

TYPES = [torch.float32, torch.bfloat16]
# One rounding of 8 bits, or a few of 24.
CLOSE = {torch.float32: {"rtol": 2e-6, "atol": 2e-6}, torch.bfloat16: {"rtol": 2**-8, "atol": 1e-5}}


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def weights_of(scores, period, scale):
    rows, n = scores.shape[-2:]
    seen = torch.arange(n) <= torch.arange(rows)[:, None] % period
    return torch.softmax((scale * scores.float()).masked_fill(~seen, -torch.inf), dim=-1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shared", "n"), [(1, 1), (1, 7), (3, 16), (2, 63), (1, 250)])
def test_causal_softmax(dtype, shared, n, threads):
    scores = (4 * torch.randn(5, shared * n, n)).to(dtype)
    expected = weights_of(scores, n, 0.7)
    found = kernels.causal_softmax_(scores.clone(), n, 0.7)
    torch.testing.assert_close(found.float(), expected, **CLOSE[dtype])
    assert bool((found.float() * (torch.arange(n) > torch.arange(shared * n)[:, None] % n) == 0).all())
    change = torch.randn(scores.shape).to(dtype)
    own = scores.float().requires_grad_()
    # The gradient is that of the weights as they were rounded.
    weights_of(own, n, 0.7).backward(change.float())
    gradient = kernels.causal_softmax_backward_(change, found, n, 0.7)
    close = {"rtol": 1e-4, "atol": 2e-6} if dtype == torch.float32 else {"rtol": 2**-6, "atol": 2**-7}
    torch.testing.assert_close(gradient.float(), own.grad, **close)


def test_softmax_of_large_and_equal_scores():
    scores = torch.tensor([[[5.0, 0.0, 0.0], [3e38, -3e38, 0.0], [1e30, 1e30, 1e30]]])
    found = kernels.causal_softmax_(scores, 3, 1.0)
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]]))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_score_that_is_no_number_is_seen(dtype):
    scores = torch.zeros(1, 20, 20, dtype=dtype)
    scores[0, 18, 3] = torch.nan
    found = kernels.causal_softmax_(scores, 20, 1.0)
    assert bool(found[0, 18, :19].isnan().all())
    assert not found[0, 17].isnan().any()


@pytest.mark.parametrize("d", [1, 7, 128])
@pytest.mark.parametrize("given", TYPES)
@pytest.mark.parametrize("wanted", TYPES)
def test_rms_norm(given, wanted, d, threads):
    x, gain = torch.randn(3, 67, d).to(given), torch.randn(d)
    own, own_gain = x.double().requires_grad_(), gain.double().requires_grad_()
    expected = F.rms_norm(own, (d,), own_gain, 0.01)
    y, inverse = kernels.rms_norm(x, gain, 0.01, wanted)
    assert y.dtype == wanted
    torch.testing.assert_close(y.double(), expected.detach(), **CLOSE[wanted])
    dy = torch.randn(x.shape).to(wanted)
    expected.backward(dy.double())
    dx, d_gain = kernels.rms_norm_backward(dy, x, gain, inverse)
    assert dx.dtype == given
    torch.testing.assert_close(dx.double(), own.grad, **{**CLOSE[given], "atol": 1e-4})
    torch.testing.assert_close(d_gain.double(), own_gain.grad, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("angles", [1, 2])
@pytest.mark.parametrize("half", [1, 5, 16])
def test_rotate(dtype, angles, half, threads):
    # Heads side by side in a longer row, as a projection leaves them.
    x = torch.randn(2, 7, 5 * 2 * half).to(dtype)[..., 2 * half :].unflatten(-1, (4, 2 * half)).transpose(1, 2)
    turned = torch.randn(angles, 1, 7, half)
    cos, sin = turned.cos(), turned.sin()
    a, b = x.float().chunk(2, dim=-1)
    expected = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    found = kernels.rotate(x, cos, sin)
    torch.testing.assert_close(found.float(), expected, **CLOSE[dtype])
    back = kernels.rotate(found, cos, sin, backwards=True)
    torch.testing.assert_close(back.float(), x.float(), rtol=2**-6, atol=2**-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 13, 256])
def test_cross_entropy(dtype, n, threads):
    logits, targets = (5 * torch.randn(70, n)).to(dtype), torch.randint(n, (70,))
    targets[::3] = -100
    own = logits.double().requires_grad_()
    expected = F.cross_entropy(own, targets, reduction="none", ignore_index=-100)
    losses, log_sum = kernels.cross_entropy(logits, targets, -100)
    torch.testing.assert_close(losses.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    (0.5 * expected.sum()).backward()
    found = kernels.cross_entropy_backward(logits, targets, -100, log_sum, 0.5)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), own.grad, **{**CLOSE[dtype], "atol": 3e-6})


def test_the_number_of_threads_changes_no_bit():
    x, gain, dy = torch.randn(1000, 33), torch.randn(33), torch.randn(1000, 33)
    found = []
    before = torch.get_num_threads()
    for n in (1, 2, 5):
        torch.set_num_threads(n)
        y, inverse = kernels.rms_norm(x, gain, 1e-6, torch.float32)
        found.append((y, inverse, *kernels.rms_norm_backward(dy, x, gain, inverse)))
    torch.set_num_threads(before)
    for one in found[1:]:
        assert all(map(torch.equal, one, found[0]))


def test_where_kernels_may_be_used():
    x = torch.randn(3)
    assert kernels.usable(x, x.bfloat16(), torch.nn.Parameter(x))
    assert not kernels.usable(x.double())
    assert not kernels.usable(x, x.to("meta"))
    asked = []
    torch.func.vmap(lambda y: asked.append(kernels.usable(y)) or y)(torch.randn(2, 3))
    assert asked == [False]
