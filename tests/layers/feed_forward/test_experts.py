"""Experts: the formula token by token, the choice and its ties, both programs and their gradients, bfloat16, prices."""

import math
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from paribus.core.errors import ConfigError
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.layers.parameters import draw

GREEDY = MixtureOfExperts.Config(d_model=9, d_ff=5, n_experts=7, n_active=3, n_shared=2, scale=1.5)
GROUPS = replace(GREEDY, n_experts=12, n_active=3, n_groups=4, n_active_groups=2, n_shared=0)
ONE = replace(GREEDY, n_experts=5, n_active=1, n_shared=1)
ALL = replace(GREEDY, n_experts=3, n_active=3)
VARIANTS = [GREEDY, GROUPS, replace(GREEDY, normalise=True), replace(GROUPS, normalise=True), ONE, ALL]
every = pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))


def build(config: MixtureOfExperts.Config, seed: int = 0) -> MixtureOfExperts:
    network = config.build()
    draw(network, seed)
    return network


def chosen_by_hand(scores: list[float], config: MixtureOfExperts.Config) -> list[int]:
    """The choice in words: the best groups, then the best of their experts; of equal ones the lower number."""
    size = config.group_size
    groups = [scores[start : start + size] for start in range(0, len(scores), size)]
    best = sorted(range(len(groups)), key=lambda group: (-max(groups[group]), group))[: config.n_active_groups]
    allowed = [i for i in range(len(scores)) if config.n_active_groups == config.n_groups or i // size in best]
    return sorted(allowed, key=lambda i: (-scores[i], i))[: config.n_active]


def gated(x, expert):
    gate = x @ expert.gate.weight.T
    return (gate * torch.sigmoid(gate) * (x @ expert.up.weight.T)) @ expert.down.weight.T


@every
@torch.no_grad()
def test_the_formula_token_by_token(config):
    network = build(config)
    x = torch.randn(3, 7, config.d_model)
    found = network(x)
    for place in ((0, 0), (1, 4), (2, 6)):
        token = x[place]
        logits = (network.router.weight @ token).tolist()
        scores = [math.exp(one) / math.fsum(map(math.exp, logits)) for one in logits]
        chosen = chosen_by_hand(scores, config)
        total = math.fsum(scores[i] for i in chosen) if config.normalise else 1.0
        y = sum(config.scale * scores[i] / total * gated(token, network.experts[i]) for i in chosen)
        if config.n_shared > 0:
            y = y + gated(token, network.shared)
        torch.testing.assert_close(found[place], y, rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize("tokens", [1, 2, 63])
def test_both_programs_agree(config, tokens):
    """Outputs, and gradients of the input, of the router and of every expert, those without tokens included."""
    network = build(config).double()
    x = torch.randn(tokens, config.d_model, dtype=torch.float64, requires_grad=True)
    results = []
    for program in (network.grouped, network.every_expert):
        y = program(x, *network.route(x))
        weights = [x, network.router.weight, *network.experts.parameters()]
        results.append([y, *torch.autograd.grad(y.sin().sum(), weights)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_an_expert_without_tokens():
    network = build(replace(ONE, n_shared=0))
    with torch.no_grad():
        network.router.weight.zero_()  # all scores are equal: the first takes everything
    x = torch.randn(11, 9)
    network(x).sum().backward()
    assert all(weight.grad.count_nonzero() > 0 for weight in network.experts[0].parameters())
    for expert in network.experts[1:]:
        assert all(weight.grad.count_nonzero() == 0 for weight in expert.parameters())
    with torch.no_grad():
        torch.testing.assert_close(network(x), 1.5 / 5 * gated(x, network.experts[0]))
        assert network(x[:0]).shape == (0, 9)


@pytest.mark.parametrize("config", [GREEDY, GROUPS], ids=["greedy", "groups"])
def test_ties_and_groups(config):
    """Scores made by hand: 20 draws of small whole numbers, so that many are equal."""
    network = build(replace(config, d_model=config.n_experts))
    with torch.no_grad():
        network.router.weight.copy_(torch.eye(config.n_experts))
    logits = torch.randint(0, 3, (20, config.n_experts)).float()
    weights, chosen = network.route(logits)
    scores = logits.softmax(dim=-1)
    assert chosen.tolist() == [chosen_by_hand(row, config) for row in logits.tolist()]
    assert torch.equal(weights, 1.5 * scores.gather(-1, chosen))
    if config is GROUPS:
        assert max(len({one // 3 for one in row}) for row in chosen.tolist()) <= 2
        assert chosen.tolist() != replace_groups(network, logits)


def replace_groups(network: MixtureOfExperts, logits: torch.Tensor) -> list[list[int]]:
    """The choice of the same router without groups."""
    free = build(replace(network.config, n_groups=1, n_active_groups=1))
    free.load_state_dict(network.state_dict())
    return free.route(logits)[1].tolist()


def test_a_group_whose_scores_vanish_is_still_the_only_choice():
    """In float32 softmax gives 0 to what is far below: such an expert of a chosen group goes before all others."""
    config = MixtureOfExperts.Config(d_model=4, d_ff=2, n_experts=4, n_active=2, n_groups=2, n_active_groups=1)
    network = build(config)
    with torch.no_grad():
        network.router.weight.copy_(torch.eye(4))
    weights, chosen = network.route(torch.tensor([[-300.0, 0.0, 200.0, -300.0]]))
    assert chosen.tolist() == [[2, 3]]
    assert weights.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("tokens", [1, 64])
@torch.no_grad()
def test_bfloat16(tokens):
    """Scores are taken in float32, so the choice is that of float32; outputs stay within 3 % of the largest."""
    config = MixtureOfExperts.Config(d_model=64, d_ff=48, n_experts=16, n_active=4, n_shared=1, n_groups=4)
    network = build(replace(config, n_active_groups=2)).bfloat16()
    wide = build(network.config)
    wide.load_state_dict(network.state_dict())
    x = torch.randn(tokens, 64, dtype=torch.bfloat16)
    (weights, chosen), (expected, wanted) = network.route(x), wide.route(x.float())
    assert weights.dtype == torch.float32
    assert torch.equal(chosen, wanted)
    assert torch.equal(weights, expected)
    found, exact = network(x), wide(x.float())
    assert found.dtype == torch.bfloat16
    assert float((found - exact).abs().max()) < 0.03 * float(exact.abs().max())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(wide.route(x.float())[1], wanted)
        mixed = wide(x.float())
    assert float((mixed - exact).abs().max()) < 0.03 * float(exact.abs().max())


def test_several_models_at_once():
    """Under torch.func, which knows no number of tokens of an expert."""
    networks = [build(GREEDY, seed) for seed in range(3)]
    stacked, buffers = stack_module_state(networks)
    x = torch.randn(3, 5, 9)
    found = vmap(lambda own, kept, y: functional_call(networks[0], (own, kept), (y,)))(stacked, buffers, x)
    for one, network, y in zip(found, networks, x, strict=True):
        torch.testing.assert_close(one, network(y))


def test_more_experts_share_those_that_are_there():
    few, many = build(GREEDY), build(replace(GREEDY, n_experts=20))
    for name, weight in few.experts.named_parameters():
        assert torch.equal(weight, many.experts.get_parameter(name))
    assert torch.equal(few.shared.down.weight, many.shared.down.weight)


def test_prices():
    config = MixtureOfExperts.Config(d_model=10, d_ff=4, n_experts=8, n_active=2, n_shared=3)
    assert config.n_parameters() == 80 + 11 * 120
    assert config.active_parameters() == 80 + 5 * 120
    assert config.flops(7) == 2 * 7 * config.active_parameters()
    assert config.parameters_read(1) == pytest.approx(config.active_parameters())
    assert config.parameters_read(2) == pytest.approx(80 + 3 * 120 + 8 * 120 * (1 - (6 / 8) ** 2))
    assert config.parameters_read(10_000) == pytest.approx(config.n_parameters())
    assert config.inner_width == 5 * 4 + 2 * 2 * 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_experts": 0}, "n_experts = 0: expected at least 1"),
        ({"n_shared": -1}, "n_shared = -1: expected 0 or more"),
        ({"n_active": 0}, "a token meets n_active = 0 of n_experts = 12 experts: expected at least 1"),
        ({"n_active": 13}, "a token meets n_active = 13 of n_experts = 12 experts"),
        ({"n_groups": 5}, r"n_experts \(12\) must be divisible by n_groups \(5\)"),
        ({"n_groups": 0}, r"n_experts \(12\) must be divisible by n_groups \(0\)"),
        ({"n_active_groups": 5}, "n_active_groups = 5 of n_groups = 4: expected at least 1, and at most"),
        ({"n_active_groups": 0}, "n_active_groups = 0 of n_groups = 4"),
        ({"n_active": 7}, "n_active = 7, but n_active_groups = 2 groups of 3 hold 6 experts: choose fewer experts"),
        ({"scale": 0.0}, "scale = 0.0: expected a positive number"),
        ({"d_ff": 0}, "d_ff = 0: expected a positive width"),
    ],
)
def test_impossible_experts(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(GROUPS, **change)
