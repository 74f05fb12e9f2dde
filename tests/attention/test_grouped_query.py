"""Grouped-query attention against its formula, its ends, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.caches import RotatedKeys
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.mapped_keys import MappedKeys
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.attention.scales.log_length import LogLength
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError
from paribus.layers.parameters import decayed, draw
from paribus.normalizers.base import Normalizer
from paribus.normalizers.learned_entmax import LearnedEntmax
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

CONFIG = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2)
X, AT = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(0)), torch.arange(9)[None]


def build(config: GroupedQuery.Config) -> GroupedQuery:
    mixer = config.build()
    draw(mixer, 0)
    return mixer


def by_hand(layer: GroupedQuery, x: torch.Tensor, f) -> torch.Tensor:
    """o = W_o concat_h sum_n softmax(q^T R(f(m - n)) k / sqrt(d)) v, one pair at a time, causal."""
    config = layer.config
    heads, d = config.n_heads, config.d_head
    n = x.shape[1]
    q, k, v = (
        (x @ w.T).unflatten(-1, (-1, d)).transpose(1, 2)
        for w in (layer.query.weight, layer.key.weight, layer.value.weight)
    )
    outputs = []
    for h in range(heads):
        g = h // (heads // config.kv_heads)
        scores = torch.full((len(x), n, n), -torch.inf, dtype=x.dtype)
        for i in range(n):
            for j in range(i + 1):
                turned = Rotary().rotate(q[:, h : h + 1, i : i + 1], torch.tensor([[f(i - j)]]))[:, 0, 0]
                scores[:, i, j] = (turned * k[:, g, j]).sum(dim=-1) * d**-0.5
        outputs.append(scores.softmax(dim=-1) @ v[:, g])
    return torch.cat(outputs, dim=-1) @ layer.out.weight.T


@pytest.mark.parametrize(("n_kv_heads", "head_dim"), [(4, None), (2, 10), (1, None)])
@pytest.mark.parametrize("window", [1, 3, 9, 1000])
@torch.no_grad()
def test_by_hand(n_kv_heads, head_dim, window):
    config = replace(CONFIG, n_kv_heads=n_kv_heads, head_dim=head_dim, position=Rotary(map=ReRoPE(window=window)))
    layer = build(config).double()
    expected = by_hand(layer, X.double(), lambda distance: min(distance, window))
    torch.testing.assert_close(layer(X.double(), AT), expected)


@torch.no_grad()
def test_a_window_that_is_never_left_is_rope():
    """ReRoPE with w >= n."""
    plain, mapped = build(CONFIG), build(replace(CONFIG, position=Rotary(map=ReRoPE(window=9))))
    torch.testing.assert_close(mapped(X, AT), plain(X, AT))
    torch.testing.assert_close(plain.double()(X.double(), AT), by_hand(plain, X.double(), lambda distance: distance))


@torch.no_grad()
def test_one_window_of_difference():
    """The position after the window is the first that ReRoPE sees otherwise."""
    plain, mapped = build(CONFIG), build(replace(CONFIG, position=Rotary(map=ReRoPE(window=4))))
    differs = (plain(X, AT) - mapped(X, AT)).abs().amax(dim=(0, 2)) > 1e-5
    assert differs.tolist() == [False] * 5 + [True] * 4


@torch.no_grad()
def test_multi_head_and_multi_query_are_its_ends():
    shared = build(replace(CONFIG, n_kv_heads=1))
    many = build(replace(CONFIG, n_kv_heads=4))
    for name in ("key", "value"):
        getattr(many, name).weight.copy_(getattr(shared, name).weight.repeat(4, 1))
    for name in ("query", "out"):
        getattr(many, name).weight.copy_(getattr(shared, name).weight)
    torch.testing.assert_close(many(X, AT), shared(X, AT))
    assert GroupedQuery.Config(n_heads=4).kv_heads == 4


@torch.no_grad()
def test_all_heads_forward_is_causal_and_half_of_them_is_not():
    causal = build(CONFIG)(X, AT)
    both = build(replace(CONFIG, mask=PerHead(masks=(Causal(), Causal()), n_heads=4)))(X, AT)
    torch.testing.assert_close(both, causal)
    mixed = replace(CONFIG, mask=PerHead(masks=(Causal(), Anticausal()), n_heads=4))
    layer, x = build(mixed), X.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(layer(x, AT)[:, 4].sum(), x)
    assert (gradient != 0).any(dim=-1).all()


@torch.no_grad()
def test_visible_keys_are_counted_without_padding():
    """The log-length scale sees the keys that the mask leaves, not the length of the row."""
    wide = replace(CONFIG, scale=LogLength(base=9.0), mask=Bidirectional())
    usual = replace(CONFIG, mask=Bidirectional())
    torch.testing.assert_close(build(wide)(X, AT), build(usual)(X, AT))
    shorter = replace(CONFIG, scale=LogLength(base=4.0), mask=Bidirectional())
    torch.testing.assert_close(build(shorter)(X[:, :4], AT[:, :4]), build(usual)(X[:, :4], AT[:, :4]))


@pytest.mark.parametrize("normalizer", [example for cls in members(Normalizer) for example in cls.examples], ids=str)
def test_any_normalizer(normalizer):
    """Counted, causal by gradient, and the same in chunks as whole."""
    config = replace(CONFIG, normalizer=normalizer)
    layer = build(config)
    assert config.n_parameters() == sum(weight.numel() for weight in layer.parameters())
    x = X.clone().requires_grad_()
    whole = layer(x, AT)
    (gradient,) = torch.autograd.grad(whole[:, 4].sum(), x)
    assert (gradient[:, 5:] == 0).all()
    assert (gradient[:, 4] != 0).any()
    state = layer.start(2, 9, torch.float32, torch.device("cpu"))
    chunks = [layer.prefill(X[:, part], AT[:, part], state)[0] for part in (slice(0, 5), slice(5, 6), slice(6, 9))]
    torch.testing.assert_close(torch.cat(chunks, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_a_learned_normalizer_learns_with_its_layer():
    layer = build(replace(CONFIG, normalizer=LearnedEntmax.Config(n_heads=4)))
    layer(X, AT).square().sum().backward()
    (logit,) = (weight for name, weight in layer.named_parameters() if name.startswith("normalizer."))
    assert logit.shape == (4,)
    assert (logit.grad != 0).all()
    assert not decayed(logit)
    with pytest.raises(ConfigError, match="LearnedEntmax was made for 3 heads, the layer has 4"):
        replace(CONFIG, normalizer=LearnedEntmax.Config(n_heads=3))


def test_the_kind_of_cache():
    cpu = torch.device("cpu")
    plain, mapped = build(CONFIG), build(replace(CONFIG, position=Rotary(map=ReRoPE(window=4))))
    assert isinstance(plain.start(2, 9, torch.float32, cpu), RotatedKeys)
    raw = mapped.start(2, 9, torch.float32, cpu)
    assert isinstance(raw, MappedKeys)
    with pytest.raises(InputError, match="Rotary cannot read a MappedKeys cache: start a cache with this layer"):
        plain.prefill(X, AT, raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_kv_heads": 3}, r"n_heads \(4\) must be divisible by n_kv_heads \(3\)"),
        ({"n_kv_heads": 0}, "must be divisible by n_kv_heads"),
        ({"n_heads": 0}, "n_heads = 0: expected at least 1"),
        ({"n_heads": 5, "n_kv_heads": 5}, r"d_model \(24\) must be divisible by n_heads \(5\), or give head_dim"),
        ({"head_dim": 7}, "head_dim = 7: rotary positions turn pairs, so it must be even"),
        ({"d_model": 12}, "head_dim = 3: rotary positions turn pairs"),
        ({"position": NoPosition(), "mask": Bidirectional()}, "NoPosition under Bidirectional cannot tell the order"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change)


def test_an_odd_head_is_no_matter_without_rotation():
    layer = build(replace(CONFIG, head_dim=7, position=NoPosition()))
    assert layer(X, AT).shape == X.shape


@torch.no_grad()
def test_the_variance_of_a_layer_without_positions_fades_with_length():
    """At the start y_n is nearly a mean of n values: log RMS against log n falls with slope -1/2."""
    layer = build(GroupedQuery.Config(d_model=64, n_heads=4, position=NoPosition()))
    layer.query.weight.mul_(0.1)
    x = torch.randn(16, 256, 64)
    rms = layer(x, torch.arange(256)[None]).square().mean(dim=(0, 2)).sqrt().log()
    n = torch.arange(1, 257).log()
    slope = ((n - n.mean()) * (rms - rms.mean())).sum() / (n - n.mean()).square().sum()
    assert float(slope) == pytest.approx(-0.5, abs=0.05)
