"""c / sqrt(d), and a constant."""

import pytest
import torch

from paribus.attention.scales.constant import Constant
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.core.errors import ConfigError


def test_values():
    q, k = torch.randn(2, 1, 2, 3, 16)
    assert InverseSqrt()(q, k, None)[2] == 0.25
    assert InverseSqrt(factor=2.5)(q, k, None)[2] == 0.625
    assert Constant(value=0.3)(q, k, None)[2] == 0.3
    assert InverseSqrt()(q, k, None)[0] is q


def test_logits_have_the_variance_that_is_said():
    q, k = torch.randn(2, 1, 1, 1000, 64)
    for factor in (1.0, 2.5):
        scale = InverseSqrt(factor=factor)(q, k, None)[2]
        assert float((scale * q @ k.transpose(-1, -2)).std()) == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("make", [lambda x: InverseSqrt(factor=x), lambda x: Constant(value=x)])
@pytest.mark.parametrize("number", [0.0, -1.0])
def test_impossible_factors(make, number):
    with pytest.raises(ConfigError, match="expected a positive number"):
        make(number)
