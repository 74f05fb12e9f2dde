"""The three threshold operators: bisection in float64, the cases of the published text that fail, laws, derivatives."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from paribus.core.errors import ConfigError, InputError
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.topk.exponential import ExponentialTopK
from paribus.normalizers.topk.gradient import GradTopK
from paribus.normalizers.topk.laplace import LaplaceTopK
from paribus.normalizers.topk.sigmoid import SigmoidTopK
from paribus.ops.bisect import bisect

CURVES = {
    ExponentialTopK: lambda u: torch.exp(u.clamp_max(0)),
    SigmoidTopK: torch.sigmoid,
    LaplaceTopK: lambda u: torch.where(u < 0, 0.5 * torch.exp(-u.abs()), 1 - 0.5 * torch.exp(-u.abs())),
}
every = pytest.mark.parametrize("kind", CURVES)
EPS = torch.finfo(torch.float32).eps


def numbers(*shape, seed=0, sigma=1.0):
    return sigma * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_bisection(kind, x, k):
    """The threshold and the weights, from the definition; sums are taken from the nearer end, 0 or 1."""
    reach = 40 + math.log(x.shape[-1])
    low, high = x.amin(-1, keepdim=True) - reach, x.amax(-1, keepdim=True) + reach

    def excess(t):
        above = x > t
        missing = torch.zeros_like(x) if kind is ExponentialTopK else CURVES[kind](t - x)  # 1 - f(u) = f(-u)
        near = torch.where(above, -missing, CURVES[kind](x - t))
        return (above.sum(-1, keepdim=True) - k) + near.sum(-1, keepdim=True)

    t, _ = bisect(excess, low, high, 90)
    return t, CURVES[kind](x - t)


@every
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0, 300.0])
@pytest.mark.parametrize(("n", "k"), [(2, 1), (10, 8), (10, 9), (63, 3), (63, 62), (257, 100)])
def test_float32_is_right_to_the_last_bits(kind, n, k, sigma):
    """Relative error at most 4 eps (1 + |x - t|), flat scores and k near n included."""
    x = numbers(20, n, seed=k, sigma=sigma).float()
    t, exact = by_bisection(kind, x.double(), k)
    found = kind(k=k).select(x).double()
    representable = exact > 1e-36
    bound = 4 * EPS * (1 + (x.double() - t).abs()) * exact
    assert ((found - exact).abs() <= bound)[representable].all()
    torch.testing.assert_close(found.sum(-1), torch.full((20,), float(k), dtype=torch.float64), rtol=1e-5, atol=0)


@every
def test_the_case_without_an_entry_below_the_threshold(kind):
    """x = (0, .1, .2, .3), k = 3: for the two-sided exponential t = -0.549 lies below every x."""
    x = torch.tensor([[0.0, 0.1, 0.2, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(kind(k=3).select(x), by_bisection(kind, x, 3)[1], rtol=0, atol=1e-12)
    if kind is LaplaceTopK:
        assert by_bisection(kind, x, 3)[0].item() == pytest.approx(-0.549, abs=5e-4)


def test_softmax_at_k_one_and_where_the_two_sided_exponential_departs_from_it():
    x = numbers(50, 7, sigma=2.0)
    for kind in (ExponentialTopK, GradTopK):
        torch.testing.assert_close(kind(k=1).select(x), Softmax()(x), rtol=1e-10, atol=1e-12)
    low = x[Softmax()(x).amax(-1) <= 0.5]
    assert len(low)
    torch.testing.assert_close(LaplaceTopK(k=1).select(low), Softmax()(low))
    case = torch.tensor([2.0, 0.0, -1.0, -1.0], dtype=torch.float64)
    assert LaplaceTopK(k=1).select(case)[0].item() == pytest.approx(0.7577, abs=5e-5)
    assert Softmax()(case)[0].item() == pytest.approx(0.8098, abs=5e-5)
    # With r = sum_{i > 1} exp(x_i - x_1) < 1 the largest weight is 1 - sqrt(r) / 2 instead of 1 / (1 + r).
    r = (case[1:] - case[0]).exp().sum()
    torch.testing.assert_close(LaplaceTopK(k=1).select(case)[0], 1 - r.sqrt() / 2)


@pytest.mark.parametrize("kind", [SigmoidTopK, LaplaceTopK, GradTopK])
def test_what_is_not_taken_is_the_smooth_bottom(kind):
    x = numbers(10, 9, sigma=3.0)
    for k in (1, 4, 8):
        torch.testing.assert_close(kind(k=k).select(x), 1 - kind(k=9 - k).select(-x), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", [*CURVES, GradTopK])
def test_the_hard_limit_and_huge_scores(kind):
    x = numbers(6, 11)
    hard = torch.zeros_like(x).scatter_(-1, x.topk(3).indices, 1.0)
    torch.testing.assert_close(kind(k=3, temperature=1e-4).select(x), hard, rtol=0, atol=1e-6)
    assert kind(k=3).select((x * 1e4).float()).isfinite().all()
    torch.testing.assert_close(kind(k=3).select(torch.zeros(2, 11)), torch.full((2, 11), 3 / 11))


@pytest.mark.parametrize("kind", [*CURVES, GradTopK])
def test_derivatives(kind):
    x = numbers(3, 6, sigma=2.0, seed=4).requires_grad_()
    for k in (1, 3, 5):
        assert gradcheck(lambda x, k=k: kind(k=k).select(x), x)
        assert gradgradcheck(lambda x, k=k: kind(k=k).select(x), x)
    (grad,) = torch.autograd.grad(kind(k=2).select(x * 400.0).sum(), x)
    assert grad.isfinite().all()
    (grad,) = torch.autograd.grad(kind(k=2).select(x)[:, 0].sum(), x)
    torch.testing.assert_close(grad.sum(-1), torch.zeros(3, dtype=torch.float64))


@every
def test_k_by_row_and_real(kind):
    x = numbers(4, 5)
    k = torch.tensor([0.0, 1.5, 4.25, 5.0], dtype=torch.float64)
    p = kind().select(x, k=k)
    torch.testing.assert_close(p.sum(-1), k)
    assert (p[0] == 0).all()
    assert (p[3] == 1).all()


def test_whole_k_by_row_for_subsets():
    x = numbers(4, 5)
    p = GradTopK().select(x, k=torch.tensor([0, 1, 4, 5]))
    torch.testing.assert_close(p.sum(-1), torch.tensor([0.0, 1, 4, 5], dtype=torch.float64))
    with pytest.raises(InputError, match="whole"):
        GradTopK().select(x, k=1.5)


@pytest.mark.parametrize("kind", [*CURVES, GradTopK])
def test_what_is_hidden_counts_against_n(kind):
    x = numbers(3, 8)
    mask = torch.tensor([True] * 5 + [False] * 3)
    torch.testing.assert_close(kind(k=3).select(x, mask)[:, :5], kind(k=3).select(x[:, :5]))
    assert (kind(k=3).select(x, mask)[:, 5:] == 0).all()
    assert torch.equal(kind(k=3).select(x, mask), kind(k=3).select(x.masked_fill(~mask, -torch.inf)))
    with pytest.raises(InputError, match="expected 0 <= k <= keys seen"):
        kind(k=6).select(x, mask)
    with pytest.raises(InputError, match="expected 0 <= k"):
        kind().select(x, k=-1)
    with pytest.raises(InputError, match="NaN"):
        kind().select(x * torch.nan)
    with pytest.raises(ConfigError, match="k = 0"):
        kind(k=0)
    with pytest.raises(ConfigError, match="temperature"):
        kind(temperature=0.0)


@every
def test_negentropy_is_what_it_maximises(kind):
    """<w, s> - Omega(w) over w = p / k, p in [0, 1]^n with sum k, is largest at the weights."""
    member, s = kind(k=2, temperature=0.7), numbers(5)
    best = member(s) @ s - member.negentropy(member(s))
    others = SigmoidTopK(k=2)(numbers(500, 5, seed=1, sigma=2.0))
    assert (best >= others @ s - member.negentropy(others)).all()
    assert member.negentropy(torch.tensor([0.5, 0.5, 0, 0])).abs() < 1e-6  # zero at whole sets
