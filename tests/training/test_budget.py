"""Equal budgets: the closest width there is, its residual, and a refusal where none is close enough."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.training.budget import match, price, size, solve

REFERENCE = DecoderLM.Config(
    n_layers=3, d_model=128, mixer=GroupedQuery.Config(n_heads=4), feed_forward=FeedForward.Config(d_ff=512)
)
FEWER_KEYS = replace(REFERENCE, mixer=GroupedQuery.Config(n_heads=4, n_kv_heads=1))
GATED = replace(REFERENCE, feed_forward=GatedFeedForward.Config(d_ff=8))
TWO_SCORES = REFERENCE.with_mixer(position=Rotary(map=ReRoPE(window=32)))

contracts = pytest.mark.parametrize("contract", ["parameters", "flops"])


@contracts
@pytest.mark.parametrize("arm", [FEWER_KEYS, GATED, TWO_SCORES], ids=["fewer keys", "gated", "two score matrices"])
@pytest.mark.parametrize("length", [64, 63])
def test_arms_are_matched(contract, arm, length):
    sized = match(arm, REFERENCE, length, contract)
    target = price(REFERENCE, length, contract)
    assert sized.residual == pytest.approx(price(sized.config, length, contract) / target - 1)
    assert abs(sized.residual) <= 0.005
    assert sized.config.feed_forward.d_ff % 4 == 0
    assert replace(sized.config, feed_forward=arm.feed_forward) == arm
    assert sized.n_parameters == sized.config.n_parameters()
    assert sized.flops_per_token == sized.config.flops(length) / length
    assert sized.causal_flops_per_token == sized.config.flops(length, causal=True) / length


def test_an_arm_of_the_same_price_is_left_as_it_is():
    """Also when its width is no multiple of 4."""
    odd = REFERENCE.with_d_ff(511)
    sized = match(odd.with_mixer(position=Rotary(base=100.0)), odd, 64, "parameters")
    assert sized.config.feed_forward.d_ff == 511
    assert sized.residual == 0


def test_none_matches_nothing():
    """And says how far apart the arms are."""
    sized = match(GATED, REFERENCE, 64, "none")
    assert sized.config == GATED
    assert sized.residual == GATED.n_parameters() / REFERENCE.n_parameters() - 1 < -0.1


@dataclass(frozen=True)
class Priced:
    """A model that costs `fixed + slope * d_ff`."""

    fixed: int
    slope: int
    d_ff: int = 4

    def with_d_ff(self, d_ff: int) -> "Priced":
        return replace(self, d_ff=d_ff)

    def n_parameters(self) -> int:
        return self.fixed + self.slope * self.d_ff

    def flops(self, length: int, causal: bool = False) -> int:
        return length * self.n_parameters()

    @property
    def feed_forward(self) -> "Priced":
        return self


@given(st.integers(0, 10_000), st.integers(1, 50), st.integers(0, 50_000))
def test_the_closest_width_of_all(fixed, slope, more):
    arm, target = Priced(fixed, slope), fixed + 4 * slope + more
    best = solve(arm, float(target), 7, "parameters")
    gaps = [abs(arm.with_d_ff(d).n_parameters() - target) for d in range(4, 4 * (more // (4 * slope) + 3), 4)]
    assert abs(best.n_parameters() - target) == min(gaps)


def test_a_reference_that_is_too_small():
    tiny = REFERENCE.with_d_ff(4)
    with pytest.raises(ConfigError, match="with the smallest d_ff = 4 the arm already has"):
        match(REFERENCE.with_mixer(head_dim=64), tiny, 64, "parameters")


def test_steps_that_are_too_coarse():
    with pytest.raises(ConfigError, match=r"closest width d_ff = 8 leaves \+\d+\.\d+% of parameters, more than 0\.5%"):
        match(Priced(0, 100), Priced(0, 100, d_ff=7), 64, "parameters")


def test_a_width_that_costs_nothing():
    with pytest.raises(ConfigError, match="a larger d_ff does not cost more parameters, so there is nothing to solve"):
        match(Priced(100, 0), Priced(200, 0), 64, "parameters")


def test_a_model_without_a_width():
    """It must match as it is, to within 0.5 %."""

    @dataclass(frozen=True)
    class Foreign:
        size: int

        def n_parameters(self) -> int:
            return self.size

        def flops(self, length: int, causal: bool = False) -> int:
            return length * self.size

    for contract in ("parameters", "flops"):
        assert match(Foreign(1004), Foreign(1000), 64, contract).residual == pytest.approx(0.004)
        with pytest.raises(
            ConfigError, match=r"Foreign has no d_ff to solve for, and \+0.60% .* apart: name the option"
        ):
            match(Foreign(1006), Foreign(1000), 64, contract)
    with pytest.raises(ConfigError, match="no flops could be counted in Foreign: let its config declare them"):
        match(Foreign(5), Foreign(0), 64, "flops")


def test_the_price_is_monotone():
    for contract in ("parameters", "flops"):
        prices = [price(REFERENCE.with_d_ff(d), 64, contract) for d in range(1, 200)]
        assert prices == sorted(set(prices))


def test_size_reports_both_figures():
    sized = size(REFERENCE, 64)
    assert sized.causal_flops_per_token < sized.flops_per_token
    assert sized.residual == 0
