"""Linear up over 5 %, then a half cosine down to 10 %."""

import math

import pytest

from paribus.core.errors import ConfigError
from paribus.training.schedules.warmup_cosine import WarmupCosine


def test_values():
    schedule = WarmupCosine()
    factors = [schedule(step, 101) for step in range(101)]
    assert factors[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert factors[-1] == pytest.approx(0.1)
    assert factors[53] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 47 / 94)))
    assert factors[53] == pytest.approx(0.55)


@pytest.mark.parametrize("change", [{"warmup": 1.0}, {"warmup": -0.1}, {"final": 1.5}, {"final": -0.1}])
def test_impossible_shares(change):
    with pytest.raises(ConfigError, match="expected a share of the"):
        WarmupCosine(**change)
