"""Every schedule: a pure function into [0, 1] that starts above 0, reaches the peak, and works for one step."""

import pytest

from paribus.core.discovery import members
from paribus.training.schedules.base import Schedule

EXAMPLES = [example for cls in members(Schedule) for example in cls.examples]


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Schedule))


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 63, 1000])
def test_factors(schedule, steps):
    factors = [schedule(step, steps) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0
    assert max(factors) == 1
    # In any order, so that a resumed run goes on exactly.
    assert factors == [schedule(step, steps) for step in reversed(range(steps))][::-1]
    peak = factors.index(1)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
