"""Fast, dense and cached attention are one function for every map: the equivalence suite of long context."""

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from paribus.attention import piecewise as program
from paribus.attention.decoupled import Decoupled
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.layout import Layout, layout
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.document import Document
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.attention.scales.log_length import LogLength
from paribus.core.discovery import members
from paribus.layers.parameters import draw
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels, merge
from paribus.positions.alibi import ALiBi
from paribus.positions.base import Position
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.t5_bias import T5Bias
from paribus.positions.xpos import XPos

MAPS = [Rotary(base=100.0, map=example) for cls in members(PositionMap) for example in cls.examples]
MAPPED = [position for position in MAPS if not position.separable]
every = pytest.mark.parametrize("position", MAPPED, ids=str)


def build(position: Position, n_kv_heads: int = 2, mask: Mask | None = None, **more) -> GroupedQuery:
    config = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=n_kv_heads, head_dim=6, position=position, **more)
    mixer = (config if mask is None else replace(config, mask=mask)).build()
    draw(mixer, 0)
    return mixer


@pytest.fixture
def both(monkeypatch):
    """Run a call with and without the fast program, and see that the fast one was used."""

    def run(call):
        results = []
        for limit in (10_000, 0):
            monkeypatch.setattr(program, "DENSE_UP_TO", limit)
            fast = Mock(side_effect=MERGED)
            monkeypatch.setattr(program, "merged_attention", fast)
            results.append(call())
            assert fast.called == (limit == 0)
        return results

    return run


MERGED = program.merged_attention
ATTENDS = kernels.attends


def outputs_and_gradients(layer: GroupedQuery, x: Tensor, at: Tensor, mask: Mask | None, weigh: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x, at, mask)
    return [y, *torch.autograd.grad((y * weigh).sum(), [x, *layer.parameters()])]


@every
@pytest.mark.parametrize(("n_kv_heads", "n"), [(2, 29), (4, 3), (1, 12)])
def test_fast_is_dense(both, position, n_kv_heads, n):
    """Also in the gradients, for grouped heads, a batch, lengths below the window and no multiple of it."""
    layer, x = build(position, n_kv_heads).double(), torch.randn(2, n, 24, dtype=torch.float64)
    weigh = torch.randn(2, n, 24, dtype=torch.float64)
    dense, fast = both(lambda: outputs_and_gradients(layer, x, torch.arange(n)[None], None, weigh))
    for found, expected in zip(fast, dense, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not kernels.attends(torch.ones(1)), reason="our kernel is for x86")
@every
def test_our_kernel_is_dense(monkeypatch, both, position):
    """In 32 bits all pieces go to one kernel; with gradients, grouped heads and padding."""
    monkeypatch.setattr(merge, "ROWS_A_SHARE", 0)
    layer, x, weigh = build(position), torch.randn(2, 67, 24), torch.randn(2, 67, 24)
    mask = Visible(valid=tuple(tuple(n >= padding for n in range(67)) for padding in (0, 8)))
    at = (torch.arange(67) - torch.tensor([[0], [8]])).clamp(min=0)
    asked = Mock(side_effect=kernels.span_attention)
    monkeypatch.setattr(kernels, "span_attention", asked)
    dense, fast = both(lambda: outputs_and_gradients(layer, x, at, mask, weigh))
    assert asked.call_count == 2
    for found, expected in zip(fast, dense, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@every
def test_left_padding(both, position):
    """Each sequence is read as if it stood alone; padding gives zeros before the output matrix, and no gradient."""
    padding, n = (0, 4, 4, 9), 21
    valid = torch.arange(n) >= torch.tensor(padding)[:, None]
    at = (torch.arange(n) - torch.tensor(padding)[:, None]).clamp(min=0)
    layer, x = build(position).double(), torch.randn(4, n, 24, dtype=torch.float64)
    weigh = torch.randn(4, n, 24, dtype=torch.float64)
    dense, fast = both(lambda: outputs_and_gradients(layer, x, at, Visible(valid=valid), weigh))
    for found, expected in zip(fast, dense, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for row, skipped in enumerate(padding):
        alone = layer(x[row : row + 1, skipped:], torch.arange(n - skipped)[None])
        torch.testing.assert_close(fast[0][row, skipped:], alone[0])
        assert (fast[0][row, :skipped] == 0).all()
        assert (fast[1][row, :skipped] == 0).all()


@every
@pytest.mark.parametrize("chunks", [(29,), (1,) * 13, (5, 1, 7, 1, 1), (12, 9)])
@torch.no_grad()
def test_cached_decoding_is_the_whole(monkeypatch, position, chunks):
    monkeypatch.setattr(program, "DENSE_UP_TO", 6)
    n = sum(chunks)
    layer, x, at = build(position), torch.randn(2, n, 24), torch.arange(n)[None]
    whole, state, found, done = layer(x, at), layer.start(2, n, torch.float32, torch.device("cpu")), [], 0
    for size in chunks:
        y, state = layer.prefill(x[:, done : done + size], at[:, done : done + size], state)
        found.append(y)
        done += size
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-4, atol=1e-5)


@every
@torch.no_grad()
def test_left_padded_decoding(monkeypatch, position):
    monkeypatch.setattr(program, "DENSE_UP_TO", 6)
    padding, n = torch.tensor([[0], [3], [8]]), 17
    valid, at = torch.arange(n) >= padding, (torch.arange(n) - padding).clamp(min=0)
    layer, x = build(position), torch.randn(3, n, 24)
    whole = layer(x, at, Visible(valid=valid))
    state, found, done = layer.start(3, n, torch.float32, torch.device("cpu")), [], 0
    for size in (11, 1, 1, 3, 1):
        end = done + size
        mask = Visible(valid=valid[:, :end])
        y, state = layer.prefill(x[:, done:end], at[:, done:end], state, mask)
        found.append(y)
        done = end
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-4, atol=1e-5)


@every
@torch.no_grad()
def test_bfloat16(both, position):
    """Weights and values are rounded to 2^-8 of their size; over a few sums 2^-4 of the largest bounds the error."""
    x, at = torch.randn(2, 29, 24).clamp(-2, 2), torch.arange(29)[None]
    exact = build(position)(x, at)
    layer = build(position).bfloat16()
    _, fast = both(lambda: layer(x.bfloat16(), at))
    assert fast.dtype == torch.bfloat16
    assert float((fast - exact).abs().max()) <= 2**-4 * float(exact.abs().max())


STAGED = Rotary(base=100.0, scaling=DynamicNTK(train_length=9, refresh=4))


@pytest.mark.parametrize("position", [Rotary(), NoPosition(), STAGED, *MAPPED], ids=str)
@pytest.mark.parametrize("window", [1, 5, 8, 300])
def test_a_window_of_a_layer(both, position, window):
    """Local layers of mixtures: RoPE, NoPE or any map under a sliding window."""
    layer = build(position, mask=Causal() & SlidingWindow(window=window)).double()
    x, weigh = torch.randn(2, 2, 23, 24, dtype=torch.float64)
    dense, fast = both(lambda: outputs_and_gradients(layer, x, torch.arange(23)[None], None, weigh))
    for found, expected in zip(fast, dense, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_wide_windows_in_tiles_that_a_mask_serves(monkeypatch):
    """At the widths of real models the near piece is computed in masked windows."""
    layer, x, at = build(Rotary(map=ReRoPE(window=130))), torch.randn(1, 700, 24), torch.arange(700)[None]
    fast = layer(x, at)
    monkeypatch.setattr(program, "DENSE_UP_TO", 10_000)
    torch.testing.assert_close(fast, layer(x, at), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_positions_with_gaps_go_the_dense_way(monkeypatch):
    layer, x = build(Rotary(map=ReRoPE(window=3))), torch.randn(1, 9, 24)
    at = torch.tensor([[0, 1, 2, 3, 9, 10, 11, 12, 13]])
    expected = layer(x, at)
    monkeypatch.setattr(program, "DENSE_UP_TO", 0)
    assert torch.equal(layer(x, at), expected)


@torch.no_grad()
def test_positions_may_begin_anywhere(both):
    """Chunks of absolute positions are cut where those positions say."""
    for position in MAPPED:
        layer, x, at = build(position), torch.randn(1, 15, 24), torch.arange(5, 20)[None]
        dense, fast = both(lambda layer=layer, x=x, at=at: layer(x, at))
        torch.testing.assert_close(fast, dense, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_scale_counts_what_is_visible(both):
    valid = torch.arange(19) >= torch.tensor([[0], [6]])
    at = (torch.arange(19) - torch.tensor([[0], [6]])).clamp(min=0)
    layer = build(Rotary(map=ReRoPE(window=4)), scale=LogLength(base=8.0))
    x = torch.randn(2, 19, 24)
    dense, fast = both(lambda: layer(x, at, Visible(valid=valid)))
    torch.testing.assert_close(fast, dense, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast[1:, 6:], layer(x[1:, 6:], at[1:, 6:]), rtol=1e-4, atol=1e-5)


VALID = Visible(valid=((False, False, True, True, True), (True,) * 5))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (Causal(), (None, [0, 0])),
        (Causal() & SlidingWindow(window=3), (3, [0, 0])),
        (SlidingWindow(window=3) & Causal() & SlidingWindow(window=2), (2, [0, 0])),
        (Causal() & VALID, (None, [2, 0])),
        (Causal() & SlidingWindow(window=2) & VALID, (2, [2, 0])),
    ],
    ids=str,
)
def test_masks_in_few_words(mask, words):
    found = layout(mask)
    assert (found.window, found.padding(2)) == words
    at = torch.arange(5)
    counts = mask.dense(2, 1, at, at).sum(dim=-1)
    assert torch.equal(found.n_keys(at, 5).expand(2, 1, 5), counts.expand(2, 1, 5))
    assert torch.equal(found.n_keys(at[3:], 5).expand(2, 1, 2), counts.expand(2, 1, 5)[..., 3:])


@pytest.mark.parametrize(
    "mask",
    [
        SlidingWindow(window=3),
        VALID,
        Causal() | SlidingWindow(window=2),
        Causal() & Visible(valid=((True, False, True),)),
        Causal() & Document(ids=((0, 0, 1),)),
    ],
    ids=str,
)
def test_masks_of_other_forms(mask):
    assert layout(mask) is None


PLAIN = [Rotary(base=100.0), NoPosition(), XPos()]
KINDS = [
    (None, Visible(valid=tuple(tuple(n >= p for n in range(31)) for p in (0, 4, 30)))),
    (Causal() & SlidingWindow(window=5), None),
    (Causal() & SlidingWindow(window=5), Visible(valid=tuple(tuple(n >= p for n in range(31)) for p in (9, 0, 9)))),
]


@pytest.mark.skipif(not kernels.attends(torch.ones(1)), reason="our kernel is for x86")
@pytest.mark.parametrize("position", PLAIN, ids=str)
@pytest.mark.parametrize(("mask", "extra"), KINDS, ids=["padding", "window", "both"])
@pytest.mark.parametrize("parts", [(31,), (9, 22), (30, 1)], ids=str)
def test_one_rotation_by_our_kernel(monkeypatch, position, mask, extra, parts):
    """Padding, windows and tokens that follow what was read, with gradients: as with a table of all pairs."""
    layer, x, results = build(position, mask=mask), torch.randn(3, 31, 24), []
    paddings = torch.zeros(3, 1) if extra is None else torch.tensor([[row.count(False)] for row in extra.valid])
    at = (torch.arange(31) - paddings).clamp(min=0).long()
    weigh = torch.randn(3, 31, 24)
    monkeypatch.setattr(program, "NATIVE_FROM", 0)
    monkeypatch.setattr(program, "MANY_QUERIES", 1)
    for taken in (False, True):
        ours = Mock(side_effect=MERGED)
        monkeypatch.setattr(program, "merged_attention", ours)
        monkeypatch.setattr(program.kernels, "attends", ATTENDS if taken else lambda *tensors: False)
        own = x.clone().requires_grad_(len(parts) == 1)
        state, found, first = layer.start(3, 31, torch.float32, x.device), [], 0
        for size in parts:
            here = slice(first, first + size)
            if len(parts) == 1:
                y = layer(own, at, extra)
            else:
                with torch.no_grad():
                    y, state = layer.prefill(own[:, here], at[:, here], state, extra)
            found.append(y)
            first += size
        y = torch.cat(found, dim=1)
        results.append([y, *torch.autograd.grad((y * weigh).sum(), [own])] if len(parts) == 1 else [y])
        assert ours.called == taken
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_bias_is_not_forgotten():
    """Our kernel adds none: positions that have one are read with a table."""
    q, at = torch.randn(2, 2, 300, 8), torch.arange(300)[None]
    padded = Layout(valid=torch.arange(300) >= torch.tensor([[0], [5]]))
    common = {"q_positions": at, "k_positions": at, "scale": 0.3, "normalizer": Softmax(), "layout": padded}
    assert program.piecewise(q, q, q, position=ALiBi(), **common) is None
    assert ALiBi().has_bias
    assert T5Bias.Config(n_heads=2).has_bias
    assert T5Bias.Config(n_heads=2).build().has_bias
    assert not XPos().has_bias
    assert Decoupled(width=4, inner=ALiBi()).has_bias
    assert not Decoupled(width=4).has_bias


def test_what_does_not_fit_is_left_to_others():
    q = torch.randn(1, 2, 300, 8)
    at = torch.arange(300)[None]
    common = {"q_positions": at, "k_positions": at, "scale": 0.3, "normalizer": Softmax()}
    assert program.piecewise(q, q, q, position=Rotary(), layout=Layout(), **common) is None
    mapped = Rotary(map=ReRoPE(window=4))
    assert program.piecewise(q, q, q, position=mapped, layout=None, **common) is None
    assert program.piecewise(q, q, q[..., :4], position=mapped, layout=Layout(), **common) is None
    assert program.piecewise(q, q, q, position=mapped, layout=Layout(), **common) is not None
