"""Chunks and the sum across them by hand, both directions; what is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.attention.gated_chunks import GatedChunks
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.document import Document
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
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


def alone(layer, x, valid):
    """Each sequence read by itself, without its padding; zeros on the padding."""
    y = torch.zeros_like(x)
    for row, kept in enumerate(valid):
        y[row, kept] = layer(x[row : row + 1, kept], torch.arange(int(kept.sum()))[None])[0]
    return y


def places(valid):
    return (valid.cumsum(dim=1) - 1).clamp(min=0)


@given(st.data())
@settings(max_examples=60, deadline=None)
@torch.no_grad()
def test_texts_of_several_lengths_in_any_pieces(data):
    """Padding anywhere, chunks that begin elsewhere in each sequence, pieces of any length."""
    n = data.draw(st.integers(1, 17))
    valid = torch.tensor(data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=3, max_size=3)))
    cuts = sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=4))})
    layer = build(replace(CONFIG, chunk=data.draw(st.integers(1, 5))))
    x = torch.randn(3, n, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    wanted, mask, at = alone(layer, x, valid), Visible(valid=valid), places(valid)
    torch.testing.assert_close(layer(x, at, mask), wanted)
    state = layer.start(3, n, torch.float64, x.device)
    for start, stop in pairwise(cuts):
        part = slice(start, stop)
        y, state = layer.prefill(x[:, part], at[:, part], state, mask)
        torch.testing.assert_close(y, wanted[:, part])


@pytest.mark.parametrize("mask", [Causal(), Bidirectional()], ids=str)
def test_padding_and_the_dense_twin_with_gradients(mask):
    layer = build(replace(CONFIG, mask=mask))
    valid = torch.ones(2, 11, dtype=torch.bool)
    valid[0, :3] = valid[1, 9:] = valid[1, 4] = False
    at, seen = places(valid), Visible(valid=valid)
    one_text = Document(ids=torch.zeros(2, 11, dtype=torch.int64))
    found = []
    for read in (
        lambda x: layer(x, at, seen),
        lambda x: layer(x, at, one_text & seen),
        lambda x: alone(layer, x, valid),
    ):
        x = X.clone().requires_grad_()
        y = read(x)[valid]
        weights = list(layer.parameters())
        found.append((y.detach(), *torch.autograd.grad(y.square().sum(), [x, *weights])))
    for fast, dense, each in zip(*found, strict=True):
        torch.testing.assert_close(fast, each)
        torch.testing.assert_close(dense, each)


@pytest.mark.parametrize("mask", [Causal(), Bidirectional()], ids=str)
@torch.no_grad()
def test_documents_of_more_than_a_chunk(mask):
    layer = build(replace(CONFIG, mask=mask))
    ids = torch.tensor([[0] * 9 + [1] * 2, [0] * 5 + [1] * 6])
    at = torch.stack([torch.cat([torch.arange(9), torch.arange(2)]), torch.cat([torch.arange(5), torch.arange(6)])])
    packed = layer(X, at, Document(ids=ids))
    for row, cut in enumerate((9, 5)):
        for part in (slice(0, cut), slice(cut, 11)):
            each = layer(X[row : row + 1, part], at[row : row + 1, part])
            torch.testing.assert_close(packed[row : row + 1, part], each)


def test_a_mask_that_names_no_texts():
    with pytest.raises(InputError, match="SlidingWindow: chunks are counted from the first token of a text"):
        build(CONFIG)(X, AT, SlidingWindow(window=3) & Visible(valid=torch.ones(2, 11, dtype=torch.bool)))


@torch.no_grad()
def test_texts_of_several_lengths_under_autocast():
    """What is computed in 16 bits is kept in the state's own type, also where sequences begin apart."""
    layer = build(CONFIG).float()
    valid = torch.arange(11) >= torch.tensor([[0], [3]])
    x, at, mask = X.float(), places(valid), Visible(valid=valid)
    state, parts = layer.start(2, 11, torch.float32, x.device), []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = layer(x, at, mask)
        for part in (slice(0, 7), slice(7, 8), slice(8, 11)):
            y, state = layer.prefill(x[:, part], at[:, part], state, mask)
            parts.append(y)
    assert state.rows.dtype == torch.float32
    torch.testing.assert_close(torch.cat(parts, dim=1)[valid], whole[valid], rtol=0.02, atol=0.02)
