"""Every rewrite of the frequencies: as many, positive, in order, never faster, and nothing at factor 1."""

from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.base import Scaling

EXAMPLES = [example for cls in members(Scaling) for example in cls.examples]
WITH_FACTOR = [cls for cls in members(Scaling) if "factor" in {field.name for field in fields(cls)}]


@pytest.mark.parametrize("scaling", EXAMPLES, ids=str)
@pytest.mark.parametrize("head_dim", [4, 10, 128])
def test_frequencies_stay_frequencies(scaling, head_dim):
    if scaling.pairs is not None:
        head_dim = 2 * scaling.pairs
    theta = Rotary().frequencies(head_dim)
    before = theta.clone()
    new = scaling(theta)
    assert torch.equal(theta, before)
    assert new.shape == theta.shape
    assert new.dtype == torch.float64
    assert (new > 0).all()
    assert (new.diff() < 0).all()
    assert (new <= theta * (1 + 1e-12)).all()


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Scaling))


@pytest.mark.parametrize("cls", WITH_FACTOR)
def test_factor_one_changes_nothing_and_a_smaller_one_is_refused(cls):
    example = cls.examples[0]
    theta = Rotary().frequencies(16)
    torch.testing.assert_close(replace(example, factor=1.0)(theta), theta, rtol=1e-12, atol=0)
    with pytest.raises(ConfigError, match=r"factor = 0\.5: expected target length / trained length, at least 1"):
        replace(example, factor=0.5)


@pytest.mark.parametrize("scaling", EXAMPLES, ids=str)
@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, 40), (7, 8), (4, 23)])
def test_stages_cover_the_queries(scaling, first, stop):
    stages = scaling.stages(first, stop)
    assert stages[0].first <= first < stages[0].stop
    assert stages[-1].first < stop <= stages[-1].stop
    assert all(one.stop == other.first for one, other in pairwise(stages))
    assert (len(stages) == 1 and stages[0].scaling == scaling) or scaling.changes


@pytest.mark.parametrize("scaling", EXAMPLES, ids=str)
def test_the_magnitude_is_one_or_more(scaling):
    assert scaling.magnitude >= 1.0
