"""Chunks and the sum across them by hand, both directions; what is refused."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.gated_chunks import GatedChunks
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.core.errors import ConfigError, InputError
from paribus.layers.parameters import draw
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

CONFIG = GatedChunks.Config(d_model=24, key_dim=8, value_dim=31, chunk=4)
X = torch.randn(2, 11, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
AT = torch.arange(11)[None]


def build(config):
    layer = config.build()
    draw(layer, 0)
    with torch.no_grad():
        for each in (layer.query, layer.key, layer.far_query, layer.far_key):
            each.gain.normal_()
            each.offset.normal_()
    return layer.double()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_both_directions_in_sixteen_bits(dtype):
    """The sum over all tokens is kept in float32, where float16 would overflow."""
    layer = build(replace(CONFIG, mask=Bidirectional())).float()
    layer.value.weight.mul_(50)
    layer.far_key.gain.mul_(50)
    layer.far_key.offset.fill_(20.0)
    x, at = torch.randn(2, 301, 24).to(dtype), torch.arange(301)[None]
    found = layer.to(dtype)(x, at).float()
    exact = layer.float()(x.float(), at)
    assert float((found - exact).norm() / exact.norm()) < 0.05


def by_hand(layer, x, causal):
    act, n, c = torch.nn.functional.silu, x.shape[1], layer.config.chunk
    u, v, z = act(x @ layer.gate.weight.T), act(x @ layer.value.weight.T), act(x @ layer.shared.weight.T)
    q, k, far_q, far_k = (
        Rotary().rotate((z * each.gain + each.offset)[:, None], AT[:, :n])[:, 0]
        for each in (layer.query, layer.key, layer.far_query, layer.far_key)
    )
    y = torch.zeros(2, n, 31, dtype=torch.float64)
    for m in range(n):
        earlier = m // c * c if causal else n
        for j in range(n):
            if j // c == m // c and (j <= m or not causal):
                y[:, m] += ((q[:, m] * k[:, j]).sum(-1) * 8**-0.5).relu().square()[:, None] / c * v[:, j]
            if j < earlier:
                y[:, m] += (far_q[:, m] * far_k[:, j]).sum(-1)[:, None] * v[:, j] / earlier
    return (u * y) @ layer.out.weight.T


@pytest.mark.parametrize("mask", [Causal(), Bidirectional()], ids=str)
@pytest.mark.parametrize("n", [1, 4, 8, 11])
@torch.no_grad()
def test_by_hand(mask, n):
    layer = build(replace(CONFIG, mask=mask))
    torch.testing.assert_close(layer(X[:, :n], AT[:, :n]), by_hand(layer, X[:, :n], mask.causal))


@torch.no_grad()
def test_the_price_of_both_directions(counted_flops):
    config = replace(CONFIG, mask=Bidirectional())
    layer = build(config)
    assert config.flops(11) == counted_flops(lambda: layer(X[:1], AT))


@torch.no_grad()
def test_the_state_does_not_grow():
    layer = build(CONFIG)
    state = layer.start(2, 1, torch.float64, torch.device("cpu"))
    sizes = set()
    for place in range(11):
        _, state = layer.prefill(X[:, place : place + 1], AT[:, place : place + 1], state)
        sizes.add(state.nbytes())
    assert sizes == {2 * CONFIG.state_bytes(11, 8)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chunk": 0}, "chunk = 0: expected at least 1 token"),
        ({"key_dim": 7}, "head_dim = 7: rotary positions turn pairs"),
        ({"value_dim": 0}, "value_dim = 0: expected at least 1"),
        ({"mask": Causal() & SlidingWindow(window=3)}, "And: sums over keys know Causal.. and Bidirectional.. only"),
        ({"position": Rotary(map=ReRoPE(window=3))}, "Rotary is no rotation of each query and key by its own place"),
        ({"position": NoPosition(), "mask": Bidirectional()}, "NoPosition under Bidirectional cannot tell the order"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change)


def test_another_state():
    other = build(replace(CONFIG, chunk=5)).start(2, 9, torch.float64, torch.device("cpu"))
    with pytest.raises(InputError, match="a chunked gated unit of 4 rows of 47 numbers cannot read this OneChunk"):
        build(CONFIG).prefill(X, AT, other)
