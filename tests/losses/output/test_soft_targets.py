"""Target weights in place of an index: the written-out losses, their gradients, and what is refused."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch.autograd import gradcheck
from torch.nn import functional as F

from paribus.core.errors import ConfigError, InputError
from paribus.data.batch import IGNORED
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.earth_mover import EarthMover
from paribus.losses.output.fenchel_young import OutputFenchelYoung

V, D = 9, 5
CONFIGS = [
    CrossEntropy(chunk=4),
    CrossEntropy(smoothing=0.2),
    EarthMover.Config(chunk=4),
    EarthMover.Config(share=0.3, adaptive=False, chunk=4),
    EarthMover.Config(share=0.4, smoothing=0.2),
    EarthMover.Config(share=1.0, adaptive=False, smoothing=0.1),
    EarthMover.Config(adaptive=False, ground="identity"),
    EarthMover.Config(smoothing=0.3, ground="identity"),
]
every = pytest.mark.parametrize("config", CONFIGS, ids=str)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(config):
    return config.over(numbers(V, 4, seed=9))


def case():
    hidden, head = numbers(2, 5, D, seed=1).requires_grad_(), numbers(V, D, seed=2).requires_grad_()
    weights = torch.softmax(2 * numbers(2, 5, V, seed=3), -1)
    weights[1, 3:] = 0  # nothing is asked there
    weights[0, 0] = torch.eye(V, dtype=torch.float64)[4]
    return hidden, head, weights


def written_out(loss, hidden, head, weights):
    config = getattr(loss, "config", loss)
    kept = weights.sum(-1) > 0
    tau = (1 - config.smoothing) * weights[kept] + config.smoothing / V
    log_q = torch.log_softmax(hidden[kept] @ head.T, -1)
    mle = -(tau * log_q).sum(-1)
    if isinstance(config, CrossEntropy):
        return mle.mean()
    q = log_q.exp()
    near = torch.eye(V, dtype=torch.float64) if config.ground == "identity" else loss.unit
    cost = 1 - ((q @ near) * (tau @ near)).sum(-1)
    if not config.adaptive:
        return ((1 - config.share) * mle + config.share * cost).mean()
    cost = cost + (tau * q).sum(-1).detach()
    return ((1 - config.share) * mle + config.share * (mle / (cost + 1e-10)).detach() * cost).mean()


@every
def test_values_and_gradients(config):
    hidden, head, weights = case()
    loss = made(config)
    found, expected = loss(hidden, head, weights), written_out(loss, hidden, head, weights)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (hidden, head)), torch.autograd.grad(expected, (hidden, head))
    )
    each = loss.each(hidden, head, weights)
    assert each.shape == (2, 5)
    assert (each[1, 3:] == 0).all()
    torch.testing.assert_close(each.sum() / 8, found.detach())
    if not getattr(config, "adaptive", False):
        assert gradcheck(lambda hidden, head: loss(hidden, head, weights), (hidden, head))


@every
def test_one_hot_weights_are_an_index(config):
    hidden, head, _ = case()
    index = torch.randint(0, V, (2, 5), generator=torch.Generator().manual_seed(4))
    index[0, 2] = IGNORED
    weights = F.one_hot(index.clamp_min(0), V).double() * (index != IGNORED)[..., None]
    loss = made(config)
    soft, hard = loss(hidden, head, weights), loss(hidden, head, index)
    torch.testing.assert_close(soft, hard)
    torch.testing.assert_close(torch.autograd.grad(soft, (hidden, head)), torch.autograd.grad(hard, (hidden, head)))
    if isinstance(config, EarthMover.Config):
        torch.testing.assert_close(loss.cost(hidden, head, weights), loss.cost(hidden, head, index))


def test_the_cost_is_a_bound_of_the_earth_movers_distance():
    hidden, head, weights = case()
    loss = EarthMover.Config().over(numbers(V, 4, seed=9))
    cost = loss.cost(hidden, head, weights)
    ground = 1 - (loss.unit @ loss.unit.T).numpy()
    moved = np.vstack([np.kron(np.eye(V), np.ones(V)), np.kron(np.ones(V), np.eye(V))])
    q = torch.softmax(hidden @ head.T, -1).detach().numpy()
    for row in range(5):
        ends = np.concatenate([q[0, row], weights[0, row].numpy()])
        exact = optimize.linprog(ground.ravel(), A_eq=moved, b_eq=ends).fun
        if row == 0:  # a single target: one plan only
            assert cost[0, row].item() == pytest.approx(exact, abs=1e-9)
        else:
            assert exact < cost[0, row].item()


def test_half_precision_and_nothing_asked():
    hidden, head, weights = case()
    small = [one.detach().bfloat16().requires_grad_() for one in (hidden, head)]
    value = CrossEntropy()(*small, weights.bfloat16())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(CrossEntropy()(hidden, head, weights).item(), rel=0.02)
    nothing = CrossEntropy()(hidden, head, torch.zeros_like(weights))
    assert nothing == 0
    assert (torch.autograd.grad(nothing, hidden)[0] == 0).all()


def test_what_is_refused():
    hidden, head, weights = case()
    for wrong, words in (
        (2 * weights, "sum to 1 in every row"),
        (weights[..., :-1], r"target weights \(2, 5, 8\): expected \(2, 5, 9\)"),
        (torch.where(weights > 0.5, 1.1, -0.1 / (V - 1)).double(), "weights >= 0"),
        (weights * torch.nan, "sum to 1"),
    ):
        with pytest.raises(InputError, match=words):
            CrossEntropy()(hidden, head, wrong)
    with pytest.raises(InputError, match="OutputFenchelYoung takes the index of one token"):
        OutputFenchelYoung()(hidden, head, weights)
    with pytest.raises(ConfigError, match="over"):
        EarthMover.Config()(hidden, head, weights)
