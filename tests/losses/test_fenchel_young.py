"""L >= 0, 0 where p = y, gradient p - y, convex; known members by their own formulas; the package `entmax`."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError
from paribus.losses.fenchel_young import FenchelYoung
from paribus.losses.output.fenchel_young import OutputFenchelYoung
from paribus.losses.surrogate import SurrogateLoss
from paribus.normalizers.alpha_entmax import AlphaEntmax
from paribus.normalizers.base import Normalizer
from paribus.normalizers.entmax15 import Entmax15
from paribus.normalizers.gaussian_max import GaussianMax
from paribus.normalizers.gumbel_max import GumbelMax
from paribus.normalizers.learned_entmax import LearnedEntmax
from paribus.normalizers.margin_softmax import MarginSoftmax
from paribus.normalizers.off_by_one import OffByOne
from paribus.normalizers.sigmoid import Sigmoid
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.sparse_softmax import SparseSoftmax
from paribus.normalizers.sparsemax import Sparsemax
from paribus.normalizers.squared_relu import SquaredRelu
from paribus.normalizers.taylor_softmax import TaylorSoftmax
from paribus.normalizers.topk.base import SmoothTopK
from paribus.normalizers.topk.gradient import GradTopK
from paribus.normalizers.topk.laplace import LaplaceTopK

ONE_HOT = [
    Softmax(), Sparsemax(), Entmax15(), AlphaEntmax(alpha=1.25), GumbelMax(scale=0.5), MarginSoftmax(scale=3.0),
    SparseSoftmax(k=3), OffByOne(), Sigmoid(), SquaredRelu(), GaussianMax(scale=0.8),
]  # fmt: skip
TOP_K = [example for cls in members(Normalizer) if issubclass(cls, SmoothTopK) for example in cls.examples]


def numbers(*shape, seed=0, sigma=1.0):
    return sigma * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("normalizer", ONE_HOT, ids=str)
def test_laws(normalizer):
    loss = FenchelYoung(normalizer=normalizer)
    scores, target = numbers(6, 7, sigma=2.0).requires_grad_(), torch.tensor([0, 6, 3, 3, 1, 5])
    value = loss(scores, target)
    assert (value >= 0).all()
    (grad,) = torch.autograd.grad(value.sum(), scores)
    torch.testing.assert_close(grad, normalizer(scores).detach() - F.one_hot(target, 7))
    if not isinstance(normalizer, SparseSoftmax):  # its top k changes under a step only where it is not differentiable
        assert gradcheck(lambda s: loss(s, target), scores)
        assert gradgradcheck(lambda s: loss(s, target), scores, atol=1e-4)
        other = numbers(6, 7, seed=3, sigma=2.0)
        middle = loss((scores + other) / 2, target)
        assert (middle <= (value + loss(other, target)) / 2 + 1e-12).all()
    right = F.one_hot(target, 7).double()
    # Of squares, each key for itself, one score alone gives the weight 1.
    sure = 7**0.5 * right - (1 - right) if isinstance(normalizer, SquaredRelu) else 100.0 * (2 * right - 1)
    settled = loss(sure, target)
    torch.testing.assert_close(settled, torch.zeros_like(settled), rtol=0, atol=1e-12)
    torch.testing.assert_close(loss(scores, right), value)
    torch.testing.assert_close(loss(scores, right.float()), value)
    if not isinstance(normalizer, GaussianMax):  # whose Omega is known at one-hot weights only
        own = normalizer(scores).detach()
        torch.testing.assert_close(loss(scores, own), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("normalizer", [one for one in ONE_HOT if not isinstance(one, SparseSoftmax)], ids=str)
def test_the_weights_are_the_gradient_of_the_conjugate(normalizer):
    scores = numbers(5, 6, seed=2, sigma=2.0)
    moved = scores.clone().requires_grad_()
    total = normalizer.conjugate(moved, normalizer(moved)).sum()
    (gradient,) = torch.autograd.grad(total, moved)
    torch.testing.assert_close(gradient, normalizer(scores), rtol=1e-9, atol=1e-10)
    # And by differences, which know nothing of what was held.
    step = 1e-6 * numbers(5, 6, seed=3)
    up, down = (normalizer.conjugate(s, normalizer(s)) for s in (scores + step, scores - step))
    torch.testing.assert_close(up - down, 2 * (normalizer(scores) * step).sum(-1), rtol=1e-3, atol=1e-11)


def test_the_expected_maximum_of_two_normal_scores():
    """E max(a + e1, b + e2) = a Phi(d) + b Phi(-d) + r phi(d), r = scale sqrt 2, d = (a - b) / r (Clark, 1961)."""
    for a, b, scale in ((0.3, -0.4, 1.0), (5.0, 5.0, 0.3), (0.0, -9.0, 2.0)):
        r = scale * 2**0.5
        d = (a - b) / r
        expected = a * stats.norm.cdf(d) + b * stats.norm.cdf(-d) + r * stats.norm.pdf(d)
        found = GaussianMax(scale=scale).conjugate(torch.tensor([a, b], dtype=torch.float64), torch.zeros(2))
        assert float(found) == pytest.approx(expected, abs=1e-9)


def test_losses_of_keys_each_for_itself():
    scores, target = numbers(5, 9, sigma=2.0), torch.tensor([0, 8, 3, 3, 1])
    right = F.one_hot(target, 9).double()
    coins = F.binary_cross_entropy_with_logits(scores - math.log(9), right, reduction="none").sum(-1)
    torch.testing.assert_close(FenchelYoung(normalizer=Sigmoid())(scores, target), coins)
    # Several right classes, as coins allow: target weights need not sum to 1.
    several = (numbers(5, 9, seed=1) > 0).double()
    coins = F.binary_cross_entropy_with_logits(scores - math.log(9), several, reduction="none").sum(-1)
    torch.testing.assert_close(FenchelYoung(normalizer=Sigmoid())(scores, several), coins)
    padded = F.cross_entropy(F.pad(scores, (0, 1)), target, reduction="none")
    torch.testing.assert_close(FenchelYoung(normalizer=OffByOne())(scores, target), padded)
    for normalizer in (Sigmoid(), OffByOne()):
        assert FenchelYoung(normalizer=normalizer)(scores, 1.5 * right).isinf().all()  # no such weights are given


def test_near_softmax_no_digits_are_lost():
    scores, target = numbers(5, 50, sigma=2.0).float(), torch.tensor([0, 8, 3, 3, 1])
    near = FenchelYoung(normalizer=AlphaEntmax(alpha=1.0001))(scores, target)
    torch.testing.assert_close(near, F.cross_entropy(scores, target, reduction="none"), rtol=0, atol=3e-3)
    exact = FenchelYoung(normalizer=AlphaEntmax(alpha=1.0001))(scores.double(), target)
    torch.testing.assert_close(near.double(), exact, rtol=0, atol=1e-5)


def test_taylor_softmax_is_the_gradient_of_nothing():
    scores = numbers(4)
    jacobian = torch.autograd.functional.jacobian(TaylorSoftmax(), scores)
    assert (jacobian - jacobian.T).abs().max() > 0.01
    with pytest.raises(ConfigError, match="use SurrogateLoss"):
        FenchelYoung(normalizer=TaylorSoftmax())(scores, torch.tensor(1))


def test_a_learned_alpha_has_no_loss_of_its_own():
    for kind in (FenchelYoung, OutputFenchelYoung):
        with pytest.raises(ConfigError, match="use AlphaEntmax"):
            kind(normalizer=LearnedEntmax.Config())


def test_known_formulas():
    scores, target = numbers(5, 9, sigma=2.0), torch.tensor([0, 8, 3, 3, 1])
    torch.testing.assert_close(
        FenchelYoung(normalizer=Softmax())(scores, target), F.cross_entropy(scores, target, reduction="none")
    )
    # Sparsemax: 1/2 - s_y + sum over the support of (s^2 - tau^2) / 2.
    p = Sparsemax()(scores)
    inside = p > 0
    tau = ((scores * inside).sum(-1) - 1) / inside.sum(-1)
    printed = 0.5 - scores.gather(-1, target[:, None])[:, 0] + 0.5 * ((scores**2 - tau[:, None] ** 2) * inside).sum(-1)
    torch.testing.assert_close(FenchelYoung()(scores, target), printed)
    # Sparse softmax: log sum over the k largest - s_y, also for a target that is not among them.
    expected = scores.topk(3).values.logsumexp(-1) - scores.gather(-1, target[:, None])[:, 0]
    torch.testing.assert_close(FenchelYoung(normalizer=SparseSoftmax(k=3))(scores, target), expected.clamp_min(0))


def test_the_package_agrees():
    package = pytest.importorskip("entmax")
    scores, target = numbers(5, 9, sigma=2.0), torch.tensor([0, 8, 3, 3, 1])
    torch.testing.assert_close(FenchelYoung()(scores, target), package.sparsemax_loss(scores, target))
    torch.testing.assert_close(
        FenchelYoung(normalizer=Entmax15())(scores, target), package.entmax15_loss(scores, target)
    )
    torch.testing.assert_close(
        FenchelYoung(normalizer=AlphaEntmax(alpha=1.3))(scores, target),
        package.entmax_bisect_loss(scores, target, alpha=1.3),
    )


def test_the_margin_at_which_a_sparse_loss_is_zero():
    """1 / (alpha - 1)."""
    for normalizer, lead in ((Sparsemax(), 1.0), (Entmax15(), 2.0), (AlphaEntmax(alpha=1.25), 4.0)):
        loss = FenchelYoung(normalizer=normalizer)
        target = torch.tensor(0)
        assert loss(torch.tensor([lead + 1e-6, 0.0, 0.0], dtype=torch.float64), target) < 1e-12
        assert loss(torch.tensor([lead - 0.1, 0.0, 0.0], dtype=torch.float64), target) > 1e-9


@pytest.mark.parametrize("normalizer", TOP_K, ids=str)
def test_sets_as_targets_of_smooth_top_k(normalizer):
    loss = FenchelYoung(normalizer=normalizer)
    scores = numbers(4, 12, sigma=2.0).requires_grad_()
    wanted = torch.zeros(4, 12, dtype=torch.float64).scatter_(
        -1, numbers(4, 12, seed=1).topk(normalizer.k).indices, 1.0
    )
    value = loss(scores, wanted / normalizer.k)
    assert (value >= 0).all()
    (grad,) = torch.autograd.grad(value.sum(), scores)
    torch.testing.assert_close(grad, (normalizer(scores) - wanted / normalizer.k).detach())
    assert gradcheck(lambda s: loss(s, wanted / normalizer.k), scores)
    if isinstance(normalizer, GradTopK):
        # minus the log of the probability of that set, times temperature / k
        subsets = torch.tensor(list(itertools.combinations(range(12), normalizer.k)))
        sums = scores.detach()[:, subsets].sum(-1) / normalizer.temperature
        own = (scores.detach() * wanted).sum(-1) / normalizer.temperature
        expected = (sums.logsumexp(-1) - own) * normalizer.temperature / normalizer.k
        torch.testing.assert_close(value.detach(), expected)
        with pytest.raises(ConfigError, match="at whole sets"):
            loss(scores, torch.full_like(wanted, 1 / 12))
    settled = loss(scores.detach() + 200 * wanted, wanted / normalizer.k)
    torch.testing.assert_close(settled, torch.zeros_like(settled), rtol=0, atol=1e-9)
    with pytest.raises(InputError, match="never gives one-hot"):
        loss(scores, torch.zeros(4, dtype=torch.int64))


def test_a_normalizer_whose_omega_is_known_at_one_hot_weights_only():
    with pytest.raises(ConfigError, match="at one-hot weights"):
        FenchelYoung(normalizer=GaussianMax())(numbers(2, 3), torch.full((2, 3), 1 / 3))


def test_targets_that_are_no_distribution():
    for wrong, words in (
        (torch.full((2, 3), 0.5), "expected the sum 1"),
        (torch.tensor([[1.5, -0.5, 0.0]] * 2), "none negative"),
        (torch.ones(2, 1), "expected the shape"),
        (torch.full((2, 3), torch.nan), "none NaN"),
    ):
        with pytest.raises(InputError, match=words):
            FenchelYoung(normalizer=LaplaceTopK(k=1))(numbers(2, 3), wrong.double())


def test_what_is_hidden_has_no_say_in_the_surrogate():
    scores = torch.tensor([[1.0, -torch.inf, 0.5]], requires_grad=True)
    loss = SurrogateLoss(normalizer=Softmax())(scores, torch.tensor([2]))
    assert loss.isfinite()
    (grad,) = torch.autograd.grad(loss.sum(), scores)
    assert grad[0, 1] == 0
    assert grad[0, 2] < 0


def test_the_surrogate_has_the_gradient_and_the_printed_one_has_not():
    scores, target = numbers(4, 5).requires_grad_(), torch.tensor([0, 1, 2, 3])
    for normalizer in (Softmax(), Sparsemax()):
        (grad,) = torch.autograd.grad(SurrogateLoss(normalizer=normalizer)(scores, target).sum(), scores)
        expected = (normalizer(scores) - F.one_hot(target, 5)).detach()
        torch.testing.assert_close(grad, expected)
        printed = ((normalizer(scores) - F.one_hot(target, 5)) * scores.detach()).sum()
        (other,) = torch.autograd.grad(printed, scores)
        assert (other - expected).abs().max() > 0.1
