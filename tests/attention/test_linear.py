"""Linear attention against its double loop, causal and not, with a turned numerator; what it refuses."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.features.base import FeatureMap
from paribus.attention.features.elu_plus_one import EluPlusOne
from paribus.attention.linear import LinearAttention
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.document import Document
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError
from paribus.layers.parameters import draw
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

CONFIG = LinearAttention.Config(d_model=24, n_heads=4)
X, AT = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(0)), torch.arange(9)[None]
CPU = torch.device("cpu")


def build(config, dtype=torch.float64):
    layer = config.build()
    draw(layer, 0)
    return layer.to(dtype)


def by_hand(layer, x, sees):
    """sum_n [R_m phi(q)]^T [R_n phi(k)] v / (sum_n phi(q)^T phi(k) + eps), pair by pair."""
    config, d, n = layer.config, layer.config.d_head, x.shape[1]
    phi, turn = config.features, config.position.rotate
    q, k, v = ((x @ w.weight.T).unflatten(-1, (-1, d)).transpose(1, 2) for w in (layer.query, layer.key, layer.value))
    out = torch.zeros_like(v)
    for i in range(n):
        above, below = 0, config.eps
        for j in range(n):
            if not sees(i, j):
                continue
            turned_q = turn(phi(q[:, :, i : i + 1]), torch.tensor([[i]]))
            turned_k = turn(phi(k[:, :, j : j + 1]), torch.tensor([[j]]))
            above = above + (turned_q * turned_k).sum(-1) * v[:, :, j]
            below = below + (phi(q[:, :, i : i + 1]) * phi(k[:, :, j : j + 1])).sum(-1)
        out[:, :, i] = above / below
    return out.transpose(1, 2).flatten(2) @ layer.out.weight.T


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mask", [None, Visible(valid=((True,) * 900,) * 2), Document(ids=((0,) * 900,) * 2)], ids=type)
@torch.no_grad()
def test_sums_that_overflow_sixteen_bits(dtype, mask):
    """Both directions: sums of 900 keys far above 65,504, the largest number of float16, whatever the program."""
    layer = build(replace(CONFIG, mask=Bidirectional()), torch.float32)
    layer.key.weight.mul_(400)
    x, at = torch.randn(2, 900, 24).to(dtype), torch.arange(900)[None]
    found = layer.to(dtype)(x, at, mask).float()
    exact = layer.float()(x.float(), at, mask)
    assert layer._features(x.float(), None)[1].sum(-2).min() > 1e5
    assert float((found - exact).norm() / exact.norm()) < (0.005 if dtype == torch.float16 else 0.05)


@pytest.mark.parametrize("features", [example for cls in members(FeatureMap) for example in cls.examples], ids=str)
@pytest.mark.parametrize("position", [Rotary(), NoPosition()], ids=str)
@torch.no_grad()
def test_by_hand(features, position):
    layer = build(replace(CONFIG, features=features, position=position))
    torch.testing.assert_close(layer(X.double(), AT), by_hand(layer, X.double(), lambda i, j: j <= i))


@torch.no_grad()
def test_both_directions_by_hand():
    layer = build(replace(CONFIG, mask=Bidirectional()))
    torch.testing.assert_close(layer(X.double(), AT), by_hand(layer, X.double(), lambda i, j: True))
    # Padding on the left: whoever is hidden is read by nobody.
    valid = torch.arange(9)[None] >= torch.tensor([[0], [4]])
    hidden = layer(X.double(), AT, Visible(valid=valid))
    torch.testing.assert_close(hidden[1:, 4:], by_hand_from(layer, X.double()[1:], 4))


def by_hand_from(layer, x, start):
    return by_hand(layer, x, lambda i, j: j >= start)[:, start:]


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, position=NoPosition())], ids=str)
def test_all_pairs_are_the_slow_twin(config):
    """Outputs and gradients over several chunks."""
    layer = build(config)
    x, at = torch.randn(2, 131, 24, dtype=torch.float64), torch.arange(131)[None]
    found = []
    for program in (layer.forward, lambda x, at: layer._dense(x, at, None)):
        own = x.clone().requires_grad_()
        y = program(own, at)
        found.append([y, *torch.autograd.grad(y.square().sum(), [own, *layer.parameters()])])
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_state_does_not_grow():
    layer = build(CONFIG, torch.float32)
    state = layer.start(2, 1, torch.float32, CPU)
    sizes = set()
    for place in range(9):
        _, state = layer.prefill(X[:, place : place + 1], AT[:, place : place + 1], state)
        sizes.add(state.nbytes())
    assert sizes == {2 * CONFIG.state_bytes(1)}
    assert CONFIG.state_bytes(1) == CONFIG.state_bytes(10**6) == 4 * 6 * 7 * 4


@torch.no_grad()
def test_turned_features_see_distances_only():
    layer = build(CONFIG)
    torch.testing.assert_close(layer(X.double(), AT + 1000), layer(X.double(), AT))


@torch.no_grad()
def test_sixteen_bit_states_are_float32():
    state = build(CONFIG, torch.bfloat16).start(2, 9, torch.bfloat16, CPU)
    assert state.values.dtype == torch.float32
    assert CONFIG.state_bytes(1, 2) == CONFIG.state_bytes(1, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_heads": 0}, "n_heads = 0: expected at least 1"),
        ({"n_heads": 5}, r"d_model \(24\) must be divisible by n_heads \(5\), or give head_dim"),
        ({"head_dim": 0}, "head_dim = 0: expected at least 1"),
        ({"head_dim": 7}, "head_dim = 7: rotary positions turn pairs"),
        ({"eps": 0.0}, "eps = 0.0: expected a positive number"),
        ({"mask": Causal() & SlidingWindow(window=3)}, "And: sums over keys know Causal.. and Bidirectional.. only"),
        ({"position": Rotary(map=ReRoPE(window=3))}, "Rotary is no rotation of each query and key by its own place"),
        ({"position": NoPosition(), "mask": Bidirectional()}, "NoPosition under Bidirectional cannot tell the order"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change)


def test_what_a_sum_cannot_follow():
    layer = build(CONFIG, torch.float32)
    state = layer.start(2, 9, torch.float32, CPU)
    with pytest.raises(InputError, match="Document hides a key from some queries and not from others"):
        layer.prefill(X, AT, state, Document(ids=((0,) * 5 + (1,) * 4,) * 2))
    with pytest.raises(InputError, match="sees later tokens and cannot generate"):
        build(replace(CONFIG, mask=Bidirectional())).start(2, 9, torch.float32, CPU)
    other = build(replace(CONFIG, features=EluPlusOne(), head_dim=8)).start(2, 9, torch.float32, CPU)
    with pytest.raises(InputError, match="linear attention of 4 heads with 6 features cannot read this Sums state"):
        layer.prefill(X, AT, other)
