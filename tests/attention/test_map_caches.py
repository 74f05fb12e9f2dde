"""Caches of maps: what they hold, in how many bytes, and whose they are. That they decode right is tested elsewhere."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.cache_of import cache_of, stored
from paribus.attention.caches import RawKeys, RotatedKeys
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.mapped_keys import MappedKeys
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.attention.sink_keys import SinkKeys
from paribus.core.errors import InputError
from paribus.layers.parameters import draw
from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.scaling.yarn import YaRN

CPU = torch.device("cpu")
KINDS = [
    (Rotary(), RotatedKeys, 2 * 20),
    (NoPosition(), RotatedKeys, 2 * 20),
    (Rotary(scaling=DynamicNTK(train_length=8)), RawKeys, 2 * 20),
    (Rotary(map=ReRoPE(window=6)), MappedKeys, 2 * 20 + 6),
    (Rotary(map=ReRoPE(window=60)), MappedKeys, 2 * 20 + 20),
    (Rotary(map=LeakyReRoPE(window=6, factor=4.0), scaling=YaRN(factor=2.0, train_length=8)), MappedKeys, 2 * 20 + 6),
    (Rotary(map=DualChunk(chunk=4, train_length=6)), MappedKeys, 2 * 20),
    (Rotary(map=LMInfinite(window=5, sinks=2)), SinkKeys, 2 * (5 + 2)),
    (Rotary(map=LMInfinite(window=5, sinks=0)), SinkKeys, 2 * 5),
    (Rotary(map=StreamingLLM(window=5, sinks=3)), SinkKeys, 2 * (5 + 3)),
]
every = pytest.mark.parametrize(("position", "kind", "vectors"), KINDS, ids=str)


def build(position, **more) -> GroupedQuery:
    layer = GroupedQuery.Config(d_model=16, n_heads=4, n_kv_heads=2, position=position, **more).build()
    draw(layer, 0)
    return layer


@every
@torch.no_grad()
def test_bytes_of_the_storage(position, kind, vectors):
    """Said, counted and allocated: the same, for a cache with just enough room."""
    layer, x, at = build(position), torch.randn(3, 20, 16), torch.arange(20)[None]
    state = layer.start(3, 20, torch.float32, CPU)
    assert type(state) is kind is cache_of(position)
    for low, high in ((0, 13), (13, 14), (14, 19), (19, 20)):
        layer.prefill(x[:, low:high], at[:, low:high], state)
        assert state.nbytes() == 3 * layer.config.state_bytes(high)
    held = [value for value in vars(state).values() if isinstance(value, torch.Tensor)]
    assert sum(value.untyped_storage().nbytes() for value in held) == state.nbytes()
    places = {RotatedKeys: 0, SinkKeys: vectors // 2}.get(kind, 20)
    assert state.nbytes() == 3 * (2 * vectors * 4 * 4 + 8 * places)
    assert stored(position, 20) == vectors


@torch.no_grad()
def test_a_constant_size():
    """Far more tokens than places: the ring turns, and decoding is still the whole."""
    for position in (Rotary(map=StreamingLLM(window=5, sinks=2)), Rotary(map=LMInfinite(window=4, sinks=1))):
        layer, x, at = build(position), torch.randn(1, 40, 16), torch.arange(40)[None]
        state = layer.start(1, 7, torch.float32, CPU)
        parts = [layer.prefill(x[:, [i]], at[:, [i]], state)[0] for i in range(40)]
        torch.testing.assert_close(torch.cat(parts, dim=1), layer(x, at), rtol=1e-4, atol=1e-5)
        assert state.nbytes() == layer.config.state_bytes(40) == layer.config.state_bytes(10**9)


@torch.no_grad()
def test_the_magnitude_of_a_scaling_reaches_the_cache():
    """YaRN's temperature with a map: far keys are not turned, but scaled."""
    position = Rotary(base=100.0, map=ReRoPE(window=3), scaling=YaRN(factor=4.0, train_length=8))
    layer, x, at = build(position), torch.randn(1, 12, 16), torch.arange(12)[None]
    state = layer.start(1, 12, torch.float32, CPU)
    parts = [
        layer.prefill(x[:, low:high], at[:, low:high], state)[0] for low, high in ((0, 4), (4, 5), (5, 9), (9, 12))
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), layer(x, at), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("owner", "reader"),
    [
        (Rotary(), Rotary(base=5e5)),
        (Rotary(), NoPosition()),
        (Rotary(map=ReRoPE(window=4)), Rotary(map=ReRoPE(window=5))),
        (Rotary(map=StreamingLLM(window=4)), Rotary(map=LMInfinite(window=4))),
    ],
    ids=str,
)
def test_a_cache_of_another_method_is_refused(owner, reader):
    state = build(owner).start(1, 8, torch.float32, CPU)
    with pytest.raises(InputError, match=r"cache holds keys of .*: start a cache with this layer"):
        build(reader).prefill(torch.randn(1, 2, 16), torch.arange(2)[None], state)


def test_a_cache_of_another_type_is_refused():
    layer = build(Rotary(map=ReRoPE(window=4)))
    for other in (Rotary(), Rotary(map=StreamingLLM(window=4)), Rotary(scaling=DynamicNTK(train_length=8))):
        state = build(other).start(1, 8, torch.float32, CPU)
        with pytest.raises(InputError, match=f"Rotary cannot read a {type(state).__name__} cache"):
            layer.prefill(torch.randn(1, 2, 16), torch.arange(2)[None], state)


def test_a_full_cache():
    layer = build(Rotary(map=ReRoPE(window=4)))
    state = layer.start(1, 3, torch.float32, CPU)
    with pytest.raises(InputError, match="room for 3 tokens, 4 are asked for"):
        layer.prefill(torch.randn(1, 4, 16), torch.arange(4)[None], state)
    small = replace(layer.config, position=Rotary(map=StreamingLLM(window=9))).build().start(1, 3, torch.float32, CPU)
    with pytest.raises(InputError, match="room for 3 tokens, 4 are asked for"):
        small.append(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.arange(4)[None])


@torch.no_grad()
def test_sinks_that_come_late_or_never():
    """A first chunk shorter than the sinks, and a sequence that begins beyond them."""
    for position in (Rotary(map=StreamingLLM(window=3, sinks=4)), Rotary(map=LMInfinite(window=3, sinks=4))):
        layer, x = build(position), torch.randn(2, 16, 16)
        at = torch.arange(16) + torch.tensor([[0], [9]])
        for chunks in ((1, 15), (2, 1, 7, 6), (1,) * 16):
            state, parts, done = layer.start(2, 16, torch.float32, CPU), [], 0
            for size in chunks:
                parts.append(layer.prefill(x[:, done : done + size], at[:, done : done + size], state)[0])
                done += size
            torch.testing.assert_close(torch.cat(parts, dim=1), layer(x, at), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [1, 4, 6, 9])
@pytest.mark.parametrize("chunks", [(1,) * 16, (5, 1, 3, 7), (2, 9, 1, 1, 3)], ids=str)
@torch.no_grad()
def test_a_sliding_window_hides_sinks(window, chunks):
    """They leave the window of the layer as any other key does, also beside padding, which moves them."""
    x, valid = torch.randn(2, 16, 16), torch.arange(16) >= torch.tensor([[0], [3]])
    at = (valid.cumsum(dim=1) - 1).clamp(min=0)
    for position in (Rotary(map=StreamingLLM(window=4, sinks=2)), Rotary(map=LMInfinite(window=3, sinks=4))):
        layer = build(position, mask=Causal() & SlidingWindow(window=window))
        for told, mask in ((at, Visible(valid=valid)), (torch.arange(16)[None], None)):
            state, parts, done = layer.start(2, 16, torch.float32, CPU), [], 0
            for size in chunks:
                part = slice(done, done + size)
                parts.append(layer.prefill(x[:, part], told[:, part], state, mask)[0])
                done += size
            shown = torch.ones_like(valid) if mask is None else valid
            found, whole = torch.cat(parts, dim=1), layer(x, told, mask)
            torch.testing.assert_close(found[shown], whole[shown], rtol=1e-4, atol=1e-5)
