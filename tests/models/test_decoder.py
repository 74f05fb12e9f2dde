"""The decoder: its formula, its price, its start, its parts in any layer, and decoding that equals reading."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.attention.masks.prefix import Prefix
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.log_length import LogLength
from paribus.core.config import digest, from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.mixer import MixerConfig
from paribus.layers.norms.base import NormConfig
from paribus.layers.norms.layer_norm import LayerNorm
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

BASE = DecoderLM.Config(
    n_layers=2,
    d_model=24,
    mixer=GroupedQuery.Config(n_heads=4, n_kv_heads=2),
    feed_forward=FeedForward.Config(d_ff=20),
    vocab_size=31,
)


def narrow(config: MixerConfig | FeedForwardConfig | NormConfig) -> MixerConfig | FeedForwardConfig | NormConfig:
    """An example of a family, made to take the width of the model."""
    return replace(config, d_model=None)


MIXED = replace(
    BASE,
    n_layers=4,
    mixer=(
        GroupedQuery.Config(n_heads=4, position=NoPosition(), scale=LogLength(base=8.0)),
        GroupedQuery.Config(n_heads=2, n_kv_heads=1, position=Rotary(map=ReRoPE(window=3)), scale=KeyNorm()),
    ),
    feed_forward=GatedFeedForward.Config(d_ff=12),
    norm=LayerNorm.Config(bias=True),
    tie_embeddings=False,
)
# A dense layer, then experts, as in DeepSeek-V2.
EXPERTS = replace(
    MIXED,
    feed_forward=(
        GatedFeedForward.Config(d_ff=36),
        *[MixtureOfExperts.Config(d_ff=9, n_experts=6, n_active=2, n_shared=2, n_groups=3, n_active_groups=2)] * 3,
    ),
)
VARIANTS = [
    BASE,
    MIXED,
    EXPERTS,
    *(replace(BASE, mixer=narrow(example)) for cls in members(MixerConfig) for example in cls.examples),
    *(replace(BASE, feed_forward=narrow(example)) for cls in members(FeedForwardConfig) for example in cls.examples),
    *(replace(BASE, norm=narrow(example)) for cls in members(NormConfig) for example in cls.examples),
]
every = pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))


def build(config: DecoderLM.Config, seed: int = 0) -> DecoderLM:
    model = config.build()
    draw(model, seed)
    return model


def tokens(config: DecoderLM.Config, length: int = 11, batch: int = 3) -> Tensor:
    return torch.randint(config.vocab_size, (batch, length))


@every
@pytest.mark.parametrize("length", [1, 7])
def test_price(config, length, counted_flops):
    model, read = build(config), tokens(config, length, batch=1)
    assert config.n_parameters() == sum(weight.numel() for weight in model.parameters())
    assert config.flops(length) == counted_flops(lambda: model(read))
    assert config.flops(length, causal=True) <= config.flops(length)
    state = model.start(1, length)
    model.prefill(read, torch.arange(length)[None], state)
    assert config.state_bytes(length) == sum(layer.nbytes() for layer in state)


@every
def test_it_is_read_back(config):
    back = from_dict(DecoderLM.Config, to_dict(config))
    assert back == config
    assert digest(back) == digest(config)


@torch.no_grad()
def test_formula():
    """x' = x + mixer(norm(x));  x'' = x' + feed_forward(norm(x'));  logits = norm(x) W."""
    for config in (BASE, MIXED, EXPERTS):
        model, read = build(config), tokens(config)
        at = torch.arange(11)[None]
        x = model.embedding.weight[read]
        for block in model.layers:
            x = x + block.mixer(block.mixer_norm(x), at)
            x = x + block.feed_forward(block.feed_forward_norm(x))
        head = model.embedding.weight if config.tie_embeddings else model.head.weight
        torch.testing.assert_close(model(read), model.norm(x) @ head.T)
        torch.testing.assert_close(model(read, last=3), model(read)[:, -3:])


@every
@pytest.mark.parametrize("chunks", [(11,), (1,) * 11, (4, 1, 6), (0, 4, 0, 1, 0, 6, 0)], ids=str)
@torch.no_grad()
def test_decoding_equals_reading(config, chunks):
    model, read = build(config), tokens(config)
    at = torch.arange(11)[None] + 5
    state, outputs, done = model.start(3, 11), [], 0
    for n in chunks:
        logits, state = model.prefill(read[:, done : done + n], at[:, done : done + n], state)
        outputs.append(logits)
        done += n
    torch.testing.assert_close(torch.cat(outputs, dim=1), model(read, at), rtol=1e-5, atol=1e-5)
    last, _ = model.prefill(read, at, model.start(3, 11), last=1)
    torch.testing.assert_close(last, model(read, at)[:, -1:], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_left_padding_through_all_layers():
    for config in (BASE, MIXED, EXPERTS):
        model, read = build(config), tokens(config, 7)
        valid = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1]])
        at = (valid.cumsum(dim=1) - 1).clamp(min=0)
        padded = model(read, at, Visible(valid=valid))
        for row, n in enumerate((7, 4, 1)):
            alone = model(read[row : row + 1, 7 - n :])
            torch.testing.assert_close(padded[row : row + 1, 7 - n :], alone, rtol=1e-5, atol=1e-5)


@every
@torch.no_grad()
def test_no_logit_depends_on_a_later_token(config):
    """By change, through all layers: a gradient is zero where an activation is, and made up where codes are chosen."""
    model, read = build(config).eval(), tokens(config, 9, batch=1)
    before, reached = model(read), False
    for place in range(9):
        other = read.clone()
        other[:, place] = (other[:, place] + 1) % config.vocab_size
        after = model(other)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(after[:, place], before[:, place], atol=1e-3)
        reached |= not torch.allclose(after[:, place + 1 :], before[:, place + 1 :], atol=1e-3)
    assert reached, "no token sees an earlier one"


def test_arms_share_what_they_have_in_common():
    """Equal name and shape: bit-equal, though positions, scales, feed-forward networks and widths differ."""
    arms = [
        BASE,
        BASE.with_mixer(position=NoPosition(), scale=KeyNorm()),
        BASE.with_d_ff(44),
        replace(BASE, feed_forward=GatedFeedForward.Config(d_ff=20)),
        replace(BASE, mixer=GroupedQuery.Config(n_heads=4, n_kv_heads=1)),
        replace(BASE, tie_embeddings=False, norm=LayerNorm.Config(bias=True)),
    ]
    plain = dict(build(BASE, seed=5).named_parameters())
    for arm in arms:
        weights = dict(build(arm, seed=5).named_parameters())
        shared = [name for name in weights if name in plain and weights[name].shape == plain[name].shape]
        assert len(shared) >= 9
        assert all(torch.equal(weights[name], plain[name]) for name in shared)
    other = dict(build(BASE, seed=6).named_parameters())
    assert not any(torch.equal(other[name], plain[name]) for name in plain if plain[name].ndim == 2)


def test_a_deeper_model_shares_all_but_the_size_of_its_outputs():
    shallow, deep = build(BASE), build(replace(BASE, n_layers=8))
    weights = dict(deep.named_parameters())
    for name, weight in shallow.named_parameters():
        same = weights[name]
        if name.endswith(("mixer.out.weight", "feed_forward.down.weight")):
            torch.testing.assert_close(same, weight / 2)
        else:
            assert torch.equal(same, weight)


def test_the_start():
    """Small logits, so the first loss is near ln(vocabulary); outputs into the stream divided by sqrt(2 n_layers)."""
    config = replace(BASE, n_layers=8, d_model=64, vocab_size=256, feed_forward=FeedForward.Config(d_ff=256))
    model = build(config)
    read = tokens(config, 64, batch=8)
    with torch.no_grad():
        logits = model(read)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens(config, 64, batch=8).flatten())
    assert float(loss) == pytest.approx(math.log(256), abs=0.1)
    for block in model.layers:
        std = float(block.mixer.out.weight.detach().std())
        assert std == pytest.approx(64**-0.5 / 4, rel=0.05)


def test_positions_default_to_the_places():
    for config in (BASE, MIXED):
        model, read = build(config), tokens(config, 7)
        assert torch.equal(model(read), model(read, torch.arange(7)[None]))


def test_layers_take_turns():
    one, two = MIXED.mixer
    assert [mixer.n_heads for mixer in MIXED.layer_mixers()] == [4, 2, 4, 2]
    assert {mixer.d_model for mixer in MIXED.layer_mixers()} == {24}
    assert {mixer.residual_gain for mixer in MIXED.layer_mixers()} == {8**-0.5}
    assert replace(MIXED, mixer=(one, one, two, two)).layer_mixers()[1].n_heads == 4
    changed = MIXED.with_mixer(position=NoPosition())
    assert all(mixer.position == NoPosition() for mixer in changed.mixer)
    assert MIXED.with_d_ff(40).feed_forward == GatedFeedForward.Config(d_ff=40)


def test_networks_take_turns():
    dense, experts = EXPERTS.feed_forward[:2]
    assert [network.d_ff for network in EXPERTS.layer_feed_forwards()] == [36, 9, 9, 9]
    assert {network.d_model for network in EXPERTS.layer_feed_forwards()} == {24}
    assert {network.residual_gain for network in EXPERTS.layer_feed_forwards()} == {8**-0.5}
    turns = replace(EXPERTS, feed_forward=(dense, experts))
    assert [network.d_ff for network in turns.layer_feed_forwards()] == [36, 9, 36, 9]
    assert BASE.layer_feed_forwards() == [replace(BASE.feed_forward, d_model=24, residual_gain=0.5)] * 2


def test_the_price_of_experts():
    idle = 3 * 4 * 3 * 24 * 9  # 3 layers in which 4 of 6 experts wait
    assert EXPERTS.active_parameters() == EXPERTS.n_parameters() - idle
    assert MIXED.active_parameters() == MIXED.n_parameters()


@pytest.mark.parametrize("d_ff", [4, 36, 72, 400])
def test_the_knob_of_the_budget_keeps_the_ratio_of_widths(d_ff):
    changed = EXPERTS.with_d_ff(d_ff)
    assert (EXPERTS.d_ff, changed.d_ff, BASE.d_ff) == (36, d_ff, 20)
    assert [network.d_ff for network in changed.feed_forward] == [d_ff] + [d_ff // 4] * 3
    assert replace(changed, feed_forward=EXPERTS.feed_forward) == EXPERTS
    prices = [EXPERTS.with_d_ff(width).n_parameters() for width in range(1, 50)]
    assert prices == sorted(set(prices))


@pytest.mark.parametrize("mask", [Anticausal(), Bidirectional(), SlidingWindow(window=4), Prefix(length=3)], ids=str)
@pytest.mark.parametrize("place", [0, 1])
def test_one_layer_that_looks_ahead_and_nothing_is_generated(mask, place):
    causal = GroupedQuery.Config(n_heads=4)
    mixers = [causal, causal]
    mixers[place] = replace(causal, mask=mask)
    config = replace(BASE, mixer=tuple(mixers))
    assert not config.causal
    with pytest.raises(InputError, match="cannot generate: use a causal mask in every layer and head"):
        build(config).start(1, 8)
    assert build(config)(tokens(config)).shape == (3, 11, 31)


def test_one_head_that_looks_ahead():
    config = BASE.with_mixer(mask=PerHead(masks=(Causal(), Anticausal()), n_heads=4))
    assert not config.causal
    with pytest.raises(InputError, match="cannot generate"):
        build(config).start(1, 8)
    assert BASE.causal


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_layers": 0}, "n_layers = 0: expected at least 1"),
        ({"d_model": 0}, "d_model = 0: expected a positive width"),
        ({"vocab_size": 1}, "vocab_size = 1: expected at least 2"),
        ({"n_layers": 3, "mixer": (GroupedQuery.Config(n_heads=4),) * 2}, "2 mixers cannot be repeated over 3 layers"),
        ({"mixer": ()}, "0 mixers cannot be repeated over 2 layers"),
        ({"feed_forward": ()}, "0 feed-forward networks cannot be repeated over 2 layers: use a divisor"),
        ({"feed_forward": (FeedForward.Config(d_ff=4),) * 3}, "3 feed-forward networks cannot be repeated over 2"),
        ({"d_model": 26}, r"d_model \(26\) must be divisible by n_heads \(4\), or give head_dim"),
        ({"d_model": 12}, "head_dim = 3: rotary positions turn pairs"),
        ({"mixer": GroupedQuery.Config(d_model=12, n_heads=2)}, "d_model = 12 inside a model of width 24"),
        ({"feed_forward": FeedForward.Config(d_ff=4, d_model=12)}, "d_model = 12 inside a model of width 24"),
        ({"norm": LayerNorm.Config(d_model=12)}, "d_model = 12 inside a model of width 24"),
    ],
)
def test_impossible_models(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(BASE, **change)
