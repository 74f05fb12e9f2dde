import json
from dataclasses import FrozenInstanceError

import pytest

from paribus.core.config import from_dict, to_dict
from paribus.core.errors import ConfigError
from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction

FACTS = {"than": "baseline", "metric": "accuracy@512", "provenance": "published", "dated": "2026-11-22"}


@pytest.mark.parametrize("member", [Greater, NotWorse, Equivalent])
def test_members_keep_the_familys_contract(member):
    assert member.source
    assert member.revision >= 1
    assert member.examples
    for example in member.examples:
        saved = json.loads(json.dumps(to_dict(example)))
        assert saved["part"] == member.__name__
        read = member(**{key: value for key, value in saved.items() if key != "part"})
        assert read == example
        assert example.arm in example.sentence("%")
        assert example.than in example.sentence("%")


def test_a_saved_prediction_is_read_back_as_its_kind():
    example = NotWorse.examples[0]
    assert from_dict(NotWorse, to_dict(example)) == example
    with pytest.raises(ConfigError, match="has no field 'margn'"):
        from_dict(NotWorse, to_dict(example) | {"margn": 1.0})


def test_it_is_written_as_claims_write_it():
    longer = Greater("longer", "key-norm", **FACTS, by=0.05)
    assert (longer.id, longer.arm, longer.by, longer.margin) == ("longer", "key-norm", 0.05, None)
    assert (
        longer.sentence("of tokens") == "key-norm is better than baseline in accuracy@512 by more than 0.05 of tokens"
    )
    assert Greater("longer", "key-norm", **FACTS).sentence() == "key-norm is better than baseline in accuracy@512"
    with pytest.raises(FrozenInstanceError):
        longer.by = 0.1


def test_a_profile_may_set_another_margin():
    kept = NotWorse("in-length", "key-norm", **FACTS, margin=0.001)
    assert kept.with_margin(0.02) == NotWorse("in-length", "key-norm", **FACTS, margin=0.02)
    assert kept.margin == 0.001
    assert Greater("longer", "key-norm", **FACTS, by=0.05).with_margin(0.01).margin == 0.01
    with pytest.raises(ConfigError, match="a margin is a positive size"):
        kept.with_margin(0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "empty id"),
        ({"metric": ""}, "names no metric"),
        ({"arm": "baseline"}, "compares 'baseline' with itself"),
        ({"provenance": " "}, 'write provenance="blind"'),
        ({"dated": ""}, 'as in dated="2026-11-22"'),
        ({"dated": "20261122"}, "dated='20261122'"),
        ({"dated": "2026-02-30"}, "dated='2026-02-30'"),
        ({"by": -0.1}, "swap arm and than"),
        ({"by": "much"}, "expected float"),
        ({"margin": -1.0}, "a margin is a positive size"),
        ({"margin": 0.0}, "a margin is a positive size"),
    ],
)
def test_what_makes_no_sense_is_named(changes, message):
    good = {"id": "longer", "arm": "key-norm", "by": 0.05, **FACTS}
    with pytest.raises(ConfigError, match=message):
        Greater(**(good | changes))


@pytest.mark.parametrize("member", [NotWorse, Equivalent])
def test_a_margin_is_required_where_it_is_the_prediction(member):
    with pytest.raises(TypeError, match="margin"):
        member("in-length", "key-norm", **FACTS)


def test_the_base_is_no_prediction():
    with pytest.raises(TypeError, match="abstract"):
        Prediction("longer", "key-norm", **FACTS)
