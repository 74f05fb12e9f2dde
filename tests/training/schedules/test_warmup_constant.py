"""Linear up, constant, and a short decay from any snapshot."""

import pytest

from paribus.core.errors import ConfigError
from paribus.training.schedules.warmup_constant import WarmupConstant


def test_constant_to_the_end():
    factors = [WarmupConstant()(step, 40) for step in range(40)]
    assert factors == [0.5, 1.0] + [1.0] * 38


def test_a_short_decay():
    """Over the last 4 of 20 steps: fifths of the way down to `final`."""
    factors = [WarmupConstant(decay=0.2, final=0.1)(step, 20) for step in range(20)]
    assert factors[:16] == [1.0] * 16
    assert factors[16:] == pytest.approx([0.1 + 0.9 * fifths / 5 for fifths in (4, 3, 2, 1)])


def test_before_the_decay_the_length_of_the_run_does_not_matter_but_for_the_warm_up():
    """So snapshots of one long run stand for shorter runs."""
    schedule = WarmupConstant(warmup=0.0, decay=0.1)
    assert [schedule(step, 100) for step in range(45)] == [schedule(step, 50) for step in range(45)]


@pytest.mark.parametrize("change", [{"warmup": 1.0}, {"decay": 0.96}, {"decay": -0.1}, {"final": 2.0}])
def test_impossible_shares(change):
    with pytest.raises(ConfigError, match="expected a share"):
        WarmupConstant(**change)
