"""Families are found in their folders."""

import inspect

import pytest

from paribus.attention.masks.base import Mask
from paribus.core.config import Part, from_dict, part_name, to_dict
from paribus.core.discovery import find, members, packages
from paribus.core.errors import ConfigError
from paribus.data.source import Source
from paribus.evaluation.base import Metric
from paribus.layers.activations.base import Activation
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.mixer import MixerConfig
from paribus.layers.norms.base import NormConfig
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Position
from paribus.training.optimizers.base import OptimizerRecipe
from paribus.training.schedules.base import Schedule

FAMILIES = [Mask, Source, Metric, Activation, FeedForwardConfig, MixerConfig, NormConfig, Normalizer, Position]
FAMILIES += [OptimizerRecipe, Schedule]


@pytest.mark.parametrize("base", FAMILIES, ids=part_name)
def test_a_family_is_its_folder(base):
    found = members(base)
    assert found
    names = [part_name(cls) for cls in found]
    assert names == sorted(set(names))
    for cls in found:
        assert issubclass(cls, base)
        assert not inspect.isabstract(cls)
        assert cls.__module__.startswith(packages(base))
        assert find(base, part_name(cls)) is cls
        # Abstract or final, nothing between. Who uses the library may do as they like.
        assert [sub for sub in cls.__subclasses__() if sub.__module__.startswith("paribus.")] == []


@pytest.mark.parametrize("base", FAMILIES, ids=part_name)
def test_every_example_is_read_back_through_its_family(base):
    for example in (example for cls in members(base) for example in cls.examples):
        back = from_dict(base, to_dict(example))
        assert type(back) is type(example)
        assert to_dict(back) == to_dict(example)
        assert back == example


def test_a_part_declared_elsewhere_is_no_member_but_can_be_found():
    class Own(Normalizer):
        def __call__(self, scores, mask=None):
            return scores

    assert Own not in members(Normalizer)
    assert find(Normalizer, part_name(Own)) is Own
    assert find(Normalizer, "Softmax") is Softmax


def test_a_base_in_a_users_file_has_no_folder():
    class Alone(Part):
        pass

    assert find(Alone, "Alone") is Alone


def test_an_unknown_name():
    with pytest.raises(ConfigError, match="unknown Normalizer 'Sofmax': did you mean Softmax"):
        find(Normalizer, "Sofmax")
