"""Costs from a configuration: the plain layer's 6 and 12 d_model, sums of parts, mixers without a quadratic part."""

from dataclasses import replace

import pytest

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.linear import LinearAttention
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.vq import VQAttention
from paribus.core.errors import ConfigError
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.cost import cost
from paribus.models.decoder import DecoderLM
from paribus.quantizers.ema import EMA
from paribus.theory.flops import quadratic_crossover

PLAIN = DecoderLM.Config(
    n_layers=3, d_model=128, mixer=GroupedQuery.Config(n_heads=4), feed_forward=FeedForward.Config(d_ff=512)
)


@pytest.mark.parametrize("d_model", [64, 128, 576])
def test_the_plain_layer(d_model):
    found = cost(replace(PLAIN, d_model=d_model, feed_forward=FeedForward.Config(d_ff=4 * d_model)), 100)
    assert found.meets == quadratic_crossover(d_model) == 6 * d_model
    assert found.meets_skipping == quadratic_crossover(d_model, causal=True) == 12 * d_model


def test_the_quadratic_part_is_half_where_the_two_meet():
    found = cost(PLAIN, 6 * 128)
    assert found.quadratic == pytest.approx((found.flops - found.flops_head) / 2)
    assert cost(PLAIN, 1).quadratic_skipping <= cost(PLAIN, 1).quadratic
    assert found.training_flops == 3 * found.flops


def test_bytes_and_parameters():
    model = PLAIN.build()
    found = cost(PLAIN, 100, batch=5, bytes_each=2)
    assert found.parameters == sum(found.parameters_by_part.values()) == sum(w.numel() for w in model.parameters())
    assert found.weight_bytes == 2 * found.parameters
    assert found.cache_bytes_per_token == 3 * 2 * 128 * 2
    assert found.cache_bytes == 5 * 100 * found.cache_bytes_per_token
    at = found.cache_meets_weights
    assert abs(5 * at * found.cache_bytes_per_token - found.weight_bytes) <= 5 * found.cache_bytes_per_token


@pytest.mark.parametrize(
    "mixer",
    [LinearAttention.Config(n_heads=4), VQAttention.Config(n_heads=4, quantizer=EMA.Config(n_codes=64), block=32)],
    ids=["linear", "vq"],
)
def test_without_a_quadratic_part(mixer):
    found = cost(replace(PLAIN, mixer=mixer), 100)
    assert found.meets is None
    assert found.meets_skipping is None
    assert found.cache_meets_weights is None
    assert found.cache_bytes_per_token == 0
    assert found.cache_bytes > 0


def test_a_step():
    found = cost(PLAIN, 100, batch=5, bytes_each=2)
    # The pairs of the last token alone, and everything else once.
    assert found.step_flops == PLAIN.flops(100, causal=True) - PLAIN.flops(99, causal=True)
    assert found.step_bytes == found.weight_bytes + found.cache_bytes
    wide = replace(PLAIN, mixer=Latent.Config(n_heads=4, latent=48, rope_dim=16))
    # Absorbed, a token more is one key of 48 + 16 numbers and one value of 48 for each of 4 heads in 3 layers.
    assert cost(wide, 100).step_flops - cost(wide, 99).step_flops == 3 * 2 * 4 * (48 + 16 + 48)
    looking = cost(PLAIN.with_mixer(mask=Bidirectional()), 100)
    assert (looking.step_flops, looking.step_bytes) == (None, None)


def test_a_mixture_of_layers_and_a_latent():
    mixed = replace(PLAIN, n_layers=4, mixer=(LinearAttention.Config(n_heads=4), GroupedQuery.Config(n_heads=4)))
    assert cost(mixed, 100).meets > 6 * 128
    latent = cost(replace(PLAIN, mixer=Latent.Config(n_heads=4, latent=48, rope_dim=16)), 100)
    assert latent.cache_bytes_per_token == 3 * (48 + 16) * 4
    looking = cost(PLAIN.with_mixer(mask=Bidirectional()), 100)
    assert looking.cache_bytes == 0


def test_experts():
    """A mixture beside a dense first layer: what a token meets, what a step of a batch reads, what is counted where."""
    experts = MixtureOfExperts.Config(d_ff=64, n_experts=8, n_active=2, n_shared=1)
    config = replace(PLAIN, feed_forward=(PLAIN.feed_forward, experts, experts))
    found, plain = cost(config, 100), cost(PLAIN, 100)
    each, dense = 3 * 128 * 64, PLAIN.layer_feed_forwards()[0].n_parameters()
    total, active = 128 * 8 + 9 * each, 128 * 8 + 3 * each
    assert found.parameters == sum(weight.numel() for weight in config.build().parameters())
    assert found.parameters_by_part["MixtureOfExperts"] == 2 * total
    assert found.parameters_by_part["FeedForward"] == dense
    assert found.parameters - found.active_parameters == 2 * (total - active)
    assert plain.active_parameters == plain.parameters
    assert found.step_flops == plain.step_flops - 2 * 2 * (dense - active)
    assert found.flops == plain.flops - 2 * 2 * (dense - active)
    assert found.step_bytes == 4 * found.active_parameters + found.cache_bytes
    several = cost(config, 100, batch=3)
    met = 8 * (1 - (6 / 8) ** 3)
    read = found.parameters - 2 * (8 - met) * each
    assert several.step_bytes == pytest.approx(4 * read + several.cache_bytes)
    assert found.cache_meets_weights < plain.cache_meets_weights


def test_impossible_sizes():
    with pytest.raises(ConfigError, match="length = 0: expected at least 1 token"):
        cost(PLAIN, 0)
    with pytest.raises(ConfigError, match="batch = 0: expected at least 1 sequence"):
        cost(PLAIN, 1, batch=0)
