"""Runs of every length agree up to where they decay; the decay is a straight line that ends above `final`."""

import pytest

from paribus.core.errors import ConfigError
from paribus.training.schedules.warmup_hold_decay import WarmupHoldDecay


def test_values():
    schedule = WarmupHoldDecay(warmup=2, hold=4)
    assert [schedule(k, 7) for k in range(7)] == pytest.approx([0.5, 1, 1, 1, 0.75, 0.5, 0.25])
    ending = WarmupHoldDecay(warmup=0, hold=1, final=0.2)
    assert [ending(k, 4) for k in range(4)] == pytest.approx([1, 0.8, 0.6, 0.4])


@pytest.mark.parametrize("hold", [3, 5, 8])
def test_a_trunk_and_its_branches_agree_up_to_the_snapshot(hold):
    trunk, branch = WarmupHoldDecay(warmup=3), WarmupHoldDecay(warmup=3, hold=hold)
    for steps in (hold + 1, hold + 4):
        assert [branch(k, steps) for k in range(hold)] == [trunk(k, 100) for k in range(hold)]
        falling = [branch(k, steps) for k in range(hold, steps)]
        assert all(0 < b < a for a, b in zip([1.0, *falling], falling, strict=False))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"warmup": -1}, "expected a number of steps"),
        ({"warmup": 4, "hold": 3}, "the decay begins after the warm-up"),
        ({"warmup": 0, "final": 1.5}, r"expected a share of the peak in \[0, 1\]"),
    ],
)
def test_impossible_schedules(changed, words):
    with pytest.raises(ConfigError, match=words):
        WarmupHoldDecay(**changed)
