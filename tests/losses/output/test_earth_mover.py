"""EMO against linear programs, the package POT, its gradient formula, and its special cases."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch.nn import functional as F

from paribus.core.errors import ConfigError, InputError
from paribus.losses.output.earth_mover import EarthMover

V, D = 8, 5


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(tokens=6):
    return numbers(tokens, D, seed=1), numbers(V, D, seed=2), torch.arange(tokens) % V, numbers(V, 4, seed=3)


def plain(hidden, head, target, embedding, share, adaptive):
    """As published: mean embedding of the prediction, autograd, no chunks."""
    unit = F.normalize(embedding, dim=-1)
    q = torch.softmax(hidden @ head.T, -1)
    mle = F.cross_entropy(hidden @ head.T, target, reduction="none")
    cost = 1 - ((q @ unit) * unit[target]).sum(-1)
    if not adaptive:
        return ((1 - share) * mle + share * cost).mean()
    cost = cost + q.gather(-1, target[:, None])[:, 0].detach()
    return ((1 - share) * mle + share * (mle / (cost + 1e-10)).detach() * cost).mean()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("adaptive", [True, False])
def test_the_published_form_agrees(share, adaptive):
    hidden, head, target, embedding = case()
    hidden, head = hidden.requires_grad_(), head.requires_grad_()
    expected = plain(hidden, head, target, embedding, share, adaptive)
    found = EarthMover.Config(share=share, adaptive=adaptive, chunk=4).over(embedding)(hidden, head, target)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (hidden, head)), torch.autograd.grad(expected, (hidden, head))
    )


def test_the_cost_is_the_earth_movers_distance():
    hidden, head, target, embedding = case()
    loss = EarthMover.Config().over(embedding)
    found = loss.cost(hidden, head, target)
    cost = 1 - (loss.unit @ loss.unit.T).numpy()
    moved = np.kron(np.eye(V), np.ones(V)), np.kron(np.ones(V), np.eye(V))
    for row in range(6):
        q = torch.softmax(hidden[row] @ head.T, -1).numpy()
        at = np.eye(V)[target[row]]
        program = optimize.linprog(cost.ravel(), A_eq=np.vstack(moved), b_eq=np.concatenate([q, at]))
        assert found[row].item() == pytest.approx(program.fun, abs=1e-9)
    package = pytest.importorskip("ot")
    assert found[5].item() == pytest.approx(package.emd2(q, at, cost), abs=1e-9)


def test_the_gradient_formula():
    """dL / dz_j = q_j (C_j - L)."""
    _, head, target, embedding = case()
    hidden = head.new_zeros(1, V).copy_(numbers(1, V, seed=7)).requires_grad_()  # an identity head: hidden are logits
    loss = EarthMover.Config(share=1.0, adaptive=False).over(embedding)
    (grad,) = torch.autograd.grad(loss(hidden, torch.eye(V, dtype=torch.float64), target[:1]), hidden)
    q, cost = torch.softmax(hidden.detach(), -1), 1 - loss.unit @ loss.unit[target[0]]
    torch.testing.assert_close(grad, q * (cost - (q * cost).sum()))


def test_special_costs():
    hidden, head, target, embedding = case()
    q = torch.softmax(hidden @ head.T, -1).gather(-1, target[:, None])[:, 0]
    apart = EarthMover.Config().over(torch.eye(V, dtype=torch.float64))
    torch.testing.assert_close(apart.cost(hidden, head, target), 1 - q)  # orthogonal tokens: 1 - p_y
    alike = EarthMover.Config(share=1.0, adaptive=False).over(torch.ones(V, 3, dtype=torch.float64))
    hidden.requires_grad_()
    value = alike(hidden, head, target)
    assert abs(float(value.detach())) < 1e-12
    assert torch.autograd.grad(value, hidden)[0].abs().max() < 1e-12
    costs = EarthMover.Config().over(embedding).cost(hidden, head, target)
    assert ((costs >= 0) & (costs <= 2)).all()
    scaled = EarthMover.Config().over(embedding * torch.arange(1, V + 1)[:, None])
    torch.testing.assert_close(scaled.cost(hidden, head, target), costs)
    tiny = EarthMover.Config().over(embedding.float() * 1e-30)
    torch.testing.assert_close(tiny.cost(hidden.float(), head.float(), target), costs.float())


def test_the_adaptive_loss_has_the_value_of_cross_entropy_and_survives_certainty():
    hidden, head, target, embedding = case()
    found = EarthMover.Config().over(embedding).each(hidden, head, target)
    torch.testing.assert_close(found, F.cross_entropy(hidden @ head.T, target, reduction="none"))
    for sign in (1.0, -1.0):
        sure = (sign * 500.0 * F.one_hot(target, V)).double().requires_grad_()
        value = EarthMover.Config().over(embedding)(sure, torch.eye(V, dtype=torch.float64), target)
        assert value.isfinite()
        assert torch.autograd.grad(value, sure)[0].isfinite().all()


def test_a_smoothed_target_in_both_terms():
    hidden, head, target, embedding = case()
    hidden, head = hidden.requires_grad_(), head.requires_grad_()
    tau = 0.7 * F.one_hot(target, V).double() + 0.3 / V
    unit = F.normalize(embedding, dim=-1)
    log_q = torch.log_softmax(hidden @ head.T, -1)
    q, mle = log_q.exp(), -(tau * log_q).sum(-1)
    cost = 1 - ((q @ unit) * (tau @ unit)).sum(-1)
    own = (tau * q).sum(-1).detach()
    for adaptive in (True, False):
        whole = cost + own if adaptive else cost
        ratio = (mle / whole).detach() if adaptive else 1.0
        expected = (0.6 * mle + 0.4 * ratio * whole).mean()
        loss = EarthMover.Config(share=0.4, adaptive=adaptive, smoothing=0.3, chunk=4).over(embedding)
        found = loss(hidden, head, target)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found, (hidden, head)), torch.autograd.grad(expected, (hidden, head), retain_graph=True)
        )
    # A bound of the earth mover's distance to tau, not the distance itself.
    ground = 1 - (loss.unit @ loss.unit.T).numpy()
    moved = np.vstack([np.kron(np.eye(V), np.ones(V)), np.kron(np.ones(V), np.eye(V))])
    for row in range(6):
        ends = np.concatenate([q[row].detach().numpy(), tau[row].numpy()])
        assert optimize.linprog(ground.ravel(), A_eq=moved, b_eq=ends).fun < cost[row].item()


def test_controls():
    """Without similarity the cost is 1 - q_y; with shuffled rows it is that of a permuted vocabulary."""
    hidden, head, target, embedding = case()
    q = torch.softmax(hidden @ head.T, -1)
    at_target = q.gather(-1, target[:, None])[:, 0]
    identity = EarthMover.Config(ground="identity").over(embedding)
    torch.testing.assert_close(identity.cost(hidden, head, target), 1 - at_target)
    smooth = EarthMover.Config(ground="identity", smoothing=0.3).over(embedding)
    torch.testing.assert_close(smooth.cost(hidden, head, target), 1 - 0.7 * at_target - 0.3 / V)
    shuffled, plain_costs = (EarthMover.Config(ground=ground).over(embedding) for ground in ("shuffled", "cosine"))
    assert torch.equal(shuffled.unit, EarthMover.Config(ground="shuffled").over(embedding).unit)
    assert not torch.equal(shuffled.unit, plain_costs.unit)
    assert torch.equal(shuffled.unit.sort(0).values, plain_costs.unit.sort(0).values)
    assert [EarthMover.Config(ground=g).extra_flops(8, 5) for g in ("cosine", "shuffled", "identity")] == [80, 80, 0]


def test_embeddings_are_frozen_copies():
    hidden, head, target, _ = case()
    head.requires_grad_()
    loss = EarthMover.Config().over(head)
    before = loss.unit.clone()
    with torch.no_grad():
        head += 1
    loss(hidden, head, target).backward()
    assert torch.equal(loss.unit, before)
    assert not loss.unit.requires_grad
    assert not list(loss.parameters())
    assert "unit" in loss.state_dict()


def test_wrong_inputs():
    hidden, head, target, embedding = case()
    with pytest.raises(InputError, match="none of them zero"):
        EarthMover.Config().over(embedding.index_fill(0, torch.tensor(2), 0.0))
    with pytest.raises(InputError, match="finite"):
        EarthMover.Config().over(embedding * torch.nan)
    with pytest.raises(InputError, match="make the loss over this vocabulary"):
        EarthMover.Config().over(embedding[1:])(hidden, head, target)
    with pytest.raises(ConfigError, match="over"):
        EarthMover.Config().build()
    with pytest.raises(ConfigError, match="share"):
        EarthMover.Config(share=1.5)
    with pytest.raises(ConfigError, match=r"smoothing = 1\.0: expected 0 <= smoothing < 1"):
        EarthMover.Config(smoothing=1.0)
    with pytest.raises(ConfigError, match="ground = 'euclid'"):
        EarthMover.Config(ground="euclid")
