"""entmax against its twins (sorting, bisection), enumeration of supports, the package `entmax`, and derivatives."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from paribus.ops.entmax import climb, dense_weights, entmax
from paribus.ops.entmax_reference import entmax15_by_sorting, entmax_by_bisection, sparsemax_by_sorting

BETAS = (1.0, 0.5, 0.25, 0.75, 0.05)
SIZES = ((7, 1), (3, 2), (5, 63), (4, 65), (2, 1025), (2, 8209))  # without blocks, then with longer and longer ones


def numbers(*shape: int, seed: int = 0, sigma: float = 1.0) -> Tensor:
    return sigma * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def twin(x: Tensor, beta: float) -> Tensor:
    if beta == 1.0:
        return sparsemax_by_sorting(x)
    return entmax15_by_sorting(x) if beta == 0.5 else entmax_by_bisection(x, 1 + beta)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("sigma", [0.01, 1.0, 5.0, 300.0])
@pytest.mark.parametrize("shape", SIZES)
def test_agrees_with_its_twin(shape: tuple[int, int], sigma: float, beta: float) -> None:
    x = numbers(*shape, sigma=sigma)
    torch.testing.assert_close(entmax(x, beta), twin(x, beta), rtol=0, atol=1e-9)
    single = entmax(x.float(), beta).double()
    torch.testing.assert_close(single, twin(x.float().double(), beta), rtol=0, atol=3e-6)
    torch.testing.assert_close(single.sum(-1), torch.ones(shape[0], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("shape", SIZES)
def test_the_traceable_form_agrees(shape: tuple[int, int], beta: float) -> None:
    for sigma in (0.01, 1.0, 30.0):
        x = numbers(*shape, seed=3, sigma=sigma)
        torch.testing.assert_close(dense_weights(x, beta), entmax(x, beta), rtol=0, atol=1e-10)
        torch.testing.assert_close(dense_weights(x.float(), beta), entmax(x.float(), beta), rtol=0, atol=2e-6)
    clustered = torch.cat([numbers(2, 500, sigma=1e-6), numbers(2, 500, sigma=1e-3, seed=1) - 0.5], dim=-1)
    torch.testing.assert_close(dense_weights(clustered, beta), entmax(clustered, beta), rtol=0, atol=1e-10)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_enumeration_of_supports(beta: float) -> None:
    """The optimality conditions single out one support: on it all weights are positive, off it the score is too low."""
    for seed in range(20):
        x = numbers(6, seed=seed)
        z = beta * x
        found = []
        for size in range(1, 7):
            for chosen in itertools.combinations(range(6), size):
                inside = z[list(chosen)]
                if beta == 1.0:
                    tau = (inside.sum() - 1) / size
                else:
                    room = 1 / size - inside.var(correction=0)
                    if room < 0:
                        continue
                    tau = inside.mean() - room.sqrt()
                outside = [i for i in range(6) if i not in chosen]
                if (inside > tau).all() and (z[outside] <= tau).all():
                    p = torch.zeros(6, dtype=x.dtype)
                    p[list(chosen)] = (inside - tau) ** (1 / beta)
                    found.append(p)
        assert len(found) == 1
        torch.testing.assert_close(entmax(x, beta), found[0], rtol=0, atol=1e-12)


def test_the_package_agrees() -> None:
    package = pytest.importorskip("entmax")
    x = numbers(9, 257, sigma=2.0).requires_grad_()
    g = numbers(9, 257, seed=5)
    for beta, theirs in (
        (1.0, package.sparsemax(x)),
        (0.5, package.entmax15(x)),
        (0.3, package.entmax_bisect(x, alpha=1.3)),
    ):
        ours = entmax(x, beta)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        (mine,), (other,) = torch.autograd.grad(ours, x, g), torch.autograd.grad(theirs, x, g)
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)


def test_the_gradient_in_alpha_is_that_of_the_package() -> None:
    package = pytest.importorskip("entmax")
    x, g = numbers(4, 33), numbers(4, 33, seed=1)
    for value in (1.1, 1.5, 1.9):
        alpha = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        (ours,) = torch.autograd.grad(entmax(x, alpha - 1), alpha, g)
        (theirs,) = torch.autograd.grad(package.entmax_bisect(x, alpha=alpha), alpha, g)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_derivatives(beta: float) -> None:
    x = numbers(4, 7, seed=2).requires_grad_()
    assert gradcheck(lambda x: entmax(x, beta), x)
    assert gradgradcheck(lambda x: entmax(x, beta), x, atol=1e-4)


def test_derivatives_in_alpha() -> None:
    x = numbers(2, 3, 5, 6, seed=4).requires_grad_()
    beta = torch.tensor([0.05, 0.4, 0.9], dtype=torch.float64)[:, None, None].requires_grad_()
    assert gradcheck(entmax, (x, beta))
    assert gradgradcheck(entmax, (x, beta), atol=1e-4)
    for i, each in enumerate(beta.flatten().tolist()):
        torch.testing.assert_close(entmax(x, beta)[:, i], entmax(x[:, i], each), rtol=0, atol=1e-12)


def test_softmax_is_the_limit() -> None:
    x = numbers(3, 50)
    apart = [(entmax(x, beta) - x.softmax(-1)).abs().max() for beta in (1e-2, 1e-3, 1e-4)]
    assert apart[0] > 5 * apart[1] > 25 * apart[2]  # the distance falls in proportion to alpha - 1
    assert apart[2] < 1e-4
    torch.testing.assert_close(entmax(x.float(), 1e-4), x.softmax(-1).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.3])
def test_ties_and_steps_that_stall_other_methods(beta: float) -> None:
    for row in ([2.0, 0.0], [2.0, 0.0, -5.0], [1.0, 1.0, 1.0], [0.0], [3e38, -3e38], [-1e4, -1e4, -1e4 - 1]):
        x = torch.tensor(row, dtype=torch.float64)
        torch.testing.assert_close(entmax(x, beta), twin(x, beta), rtol=0, atol=1e-9)
    # Every Newton step drops one entry only.
    x = -torch.tensor([2.0**-i for i in range(40)], dtype=torch.float64)
    torch.testing.assert_close(entmax(x, beta), twin(x, beta), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-20, 20, width=16), min_size=1, max_size=40),
    st.sampled_from([1.0, 0.5, 0.2]),
)
def test_rounded_numbers_and_laws(row: list[float], beta: float) -> None:
    x = torch.tensor(row, dtype=torch.float64)
    p = entmax(x, beta)
    torch.testing.assert_close(p, twin(x, beta), rtol=0, atol=1e-8)
    torch.testing.assert_close(entmax(x + 7, beta), p, rtol=0, atol=1e-9)
    order = x.argsort()
    assert (p[order].diff() >= 0).all()


def test_masked_entries_dead_rows_and_nan() -> None:
    x = torch.tensor([[1.0, -torch.inf, 0.5], [-torch.inf] * 3, [0.0, torch.nan, 0.0], [0.0, torch.inf, 0.0]])
    x.requires_grad_()
    p = entmax(x, 0.5)
    assert p[0, 1] == 0
    assert (p[1] == 0).all()
    assert p[2:].isnan().all()
    (grad,) = torch.autograd.grad(p[:2].sum() + (p[:2] ** 2).sum(), x)
    assert grad[:2].isfinite().all()
    dead = torch.full((2, 9), -torch.inf, requires_grad=True)
    (grad,) = torch.autograd.grad(entmax(dead, 1.0).sum(), dead)
    assert (grad == 0).all()
    assert entmax(torch.zeros(3, 0), 0.5).shape == (3, 0)
    assert entmax(torch.zeros(0, 3), 0.5).shape == (0, 3)


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.25])
def test_half_precision_is_the_rounded_answer(beta: float) -> None:
    x = numbers(4, 3000, sigma=3.0).bfloat16()
    exact = twin(x.double(), beta)
    error = (entmax(x, beta).double() - exact).abs()
    assert (error <= exact * 2.0**-8 + 1e-6).all()  # half a unit in the last of bfloat16's 8 bits


def test_climbing_stops_after_few_steps() -> None:
    """Newton on the 1/b-norm: nearly straight, so that seven steps from far below suffice at any size."""
    for n, sigma in ((10_000, 1.0), (10_000, 0.01), (100, 5.0)):
        x = numbers(8, n, sigma=sigma)
        depth = x.amax(-1, keepdim=True) - x
        for beta in (0.5, 0.25):
            start = torch.zeros(8, 1, dtype=x.dtype)
            torch.testing.assert_close(climb(depth, start, beta, most=7), climb(depth, start, beta), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, while tracing
def test_compiles_without_a_break() -> None:
    x = numbers(3, 33).float().requires_grad_()
    compiled = torch.compile(lambda x: entmax(x, 0.5), fullgraph=True, backend="aot_eager")
    g = numbers(3, 33, seed=1).float()
    torch.testing.assert_close(compiled(x), entmax(x, 0.5), rtol=0, atol=1e-6)
    (a,), (b,) = torch.autograd.grad(compiled(x), x, g), torch.autograd.grad(entmax(x, 0.5), x, g)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
