"""LongRoPE: one factor a pair, and the scale of the scores."""

import math

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.longrope import LongRoPE


def test_factors_divide():
    theta = Rotary().frequencies(6)
    found = LongRoPE(factors=(1.0, 2.0, 8.0))(theta)
    torch.testing.assert_close(found, theta / torch.tensor([1.0, 2.0, 8.0]).double())


def test_the_scale_of_the_scores():
    """sqrt(1 + ln s / ln L0) on cos and sin."""
    scaling = LongRoPE(factors=(1.0, 2.0), extension=32.0, train_length=4096)
    assert scaling.magnitude == pytest.approx(math.sqrt(1 + 5 / 12))
    assert LongRoPE(factors=(1.0,)).magnitude == 1.0


def test_heads_of_another_width():
    rope = Rotary(scaling=LongRoPE(factors=(1.0, 2.0)))
    with pytest.raises(ConfigError, match="head_dim = 6: LongRoPE was made for heads of 4 coordinates"):
        rope.check_head_dim(6)
    with pytest.raises(ConfigError, match="2 factors for a head of 6 coordinates"):
        LongRoPE(factors=(1.0, 2.0))(Rotary().frequencies(6))


@pytest.mark.parametrize("factors", [(), (1.0, 0.0), (1.0, -2.0)])
def test_impossible_factors(factors):
    with pytest.raises(ConfigError, match="expected a positive number for each pair"):
        LongRoPE(factors=factors)
