"""Every measure equals its numpy twin, ignores scale, and has a gradient orthogonal to x."""

import pytest
import torch
from torch.autograd import gradcheck

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.losses.sparsity.base import SparsityMeasure
from paribus.losses.sparsity.divergence import Divergence
from paribus.losses.sparsity.gini import Gini
from paribus.losses.sparsity.hoyer import Hoyer
from paribus.losses.sparsity.kurtosis import Kurtosis
from paribus.losses.sparsity.norm_ratio import NormRatio
from paribus.losses.sparsity.purity import Purity
from paribus.theory import sparsity

EXAMPLES = [example for cls in members(SparsityMeasure) for example in cls.examples]
TWINS = {
    NormRatio: lambda m, x, w: sparsity.norm_ratio(x, m.q, float("inf") if m.p is None else m.p, w),
    Hoyer: lambda m, x, w: sparsity.hoyer(x, w),
    Gini: lambda m, x, w: sparsity.gini(x, w),
    Divergence: lambda m, x, w: sparsity.divergence(x, m.order, w),
    Purity: lambda m, x, w: sparsity.purity(x, w),
    Kurtosis: lambda m, x, w: sparsity.kurtosis(x, w),
}
every = pytest.mark.parametrize("measure", EXAMPLES, ids=str)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_member_has_an_example_and_a_twin():
    assert {type(example) for example in EXAMPLES} == set(members(SparsityMeasure)) == set(TWINS)


@every
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 63), (2, 3, 5)])
def test_the_numpy_twin_agrees(measure, shape):
    x = numbers(*shape)
    x = x.where(torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.8, 0.0)
    x[..., 0] = 1.5
    twin = TWINS[type(measure)]
    torch.testing.assert_close(measure(x), torch.as_tensor(twin(measure, x.numpy(), None)))
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[..., 0] = True
    torch.testing.assert_close(measure(x, mask), torch.as_tensor(twin(measure, x.numpy(), mask.double().numpy())))


@every
def test_derivatives(measure):
    x = numbers(3, 6, seed=4).requires_grad_()
    mask = torch.tensor([True] * 5 + [False])
    assert gradcheck(measure, x)
    (grad,) = torch.autograd.grad(measure(x, mask).sum(), x)
    torch.testing.assert_close((grad * x).sum(-1), torch.zeros(3, dtype=torch.float64))
    assert (grad[:, 5] == 0).all()
    holes = torch.tensor([1.0, 0.0, 2.0, 0.0], requires_grad=True)
    assert torch.autograd.grad(measure(holes), holes)[0].isfinite().all()


@every
def test_scale_and_direction(measure):
    x = numbers(9).float()
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(measure(x * scale), measure(x), rtol=1e-4, atol=1e-5)
    even, sparse = torch.tensor([1.0, 1.1, 0.9, 1.0]), torch.tensor([1.0, 0.1, 0.0, 0.1])
    assert measure.sparser * (measure(sparse) - measure(even)) > 0
    assert measure(torch.zeros(3)).isnan()


@pytest.mark.parametrize("order", [0.95, 1 - 1e-6, 1 + 1e-6, 1.001, 1.05])
def test_orders_near_one_keep_their_digits(order):
    """ln sum p^r is small there beside its terms."""
    x = numbers(3, 40)
    single = Divergence(order=order)(x.float())
    torch.testing.assert_close(
        single.double(), torch.as_tensor(sparsity.divergence(x.numpy(), order)), rtol=0, atol=1e-5
    )
    assert gradcheck(Divergence(order=order), numbers(2, 5).requires_grad_())


def test_values_that_make_no_sense():
    for wrong in ({"q": 0.0}, {"q": 2.0, "p": 1.0}, {"q": 1.0, "p": 1.0}):
        with pytest.raises(ConfigError, match="0 < q < p"):
            NormRatio(**wrong)
    with pytest.raises(ConfigError, match="order"):
        Divergence(order=0.0)


def test_as_a_penalty_it_finds_the_few_coefficients_that_count():
    """Sparse regression: the ratio l1/l2 as penalty sets to (nearly) zero what least squares leaves standing."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 20, generator=generator)
    truth = torch.zeros(20).index_fill(0, torch.tensor([2, 7, 11]), 1.0)
    observed = inputs @ truth + 0.3 * torch.randn(60, generator=generator)
    found = {}
    for weight in (0.0, 0.5):
        estimate = torch.full((20,), 0.1, requires_grad=True)
        optimizer = torch.optim.Adam([estimate], lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            ((inputs @ estimate - observed).square().mean() + weight * NormRatio()(estimate)).backward()
            optimizer.step()
        found[weight] = estimate.detach()
    outside = truth == 0
    assert found[0.5][outside].abs().mean() < 0.5 * found[0.0][outside].abs().mean()
    assert (found[0.5][~outside] > 0.7).all()
