import json
import tomllib
from collections.abc import Callable
from dataclasses import replace

import numpy

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.claims.positions.rope_tie import claim as rope_tie
from paribus.lab.plan import make_plan
from paribus.lab.record import Record
from paribus.lab.report.configs import described, differences, spell
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

from . import records

MIXER = GroupedQuery.Config(n_heads=2)


def test_only_the_fields_that_differ_are_told() -> None:
    other = replace(MIXER, position=Rotary(base=100.0, map=ReRoPE(window=3)))
    assert list(differences(MIXER, other)) == [
        ("position.base", "10000", "100"),
        ("position.map", "Identity()", "ReRoPE(window=3)"),
    ]
    assert list(differences(MIXER, replace(MIXER, position=NoPosition()))) == [("position", "Rotary()", "NoPosition()")]
    assert list(differences(MIXER, MIXER)) == []
    assert list(differences(1, 2)) == [("all of it", "1", "2")]
    assert list(differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})) == [("b", "2", "3"), ("c", "None", "4")]


def test_parts_read_like_code_without_their_defaults() -> None:
    assert spell(Rotary(base=100.0, map=ReRoPE(window=32))) == "Rotary(base=100, map=ReRoPE(window=32))"
    local = replace(MIXER, mask=SlidingWindow(window=4))
    assert spell((local, local, MIXER)) == (
        "(2 x GroupedQuery(n_heads=2, mask=SlidingWindow(window=4)), GroupedQuery(n_heads=2))"
    )
    assert spell([1]) == "(1,)"
    assert spell({"a": None, "f": spell}) == "{a=None, f=spell}"
    assert spell("text") == "text"


def test_what_reads_alike_is_told_apart() -> None:
    near = replace(MIXER, position=Rotary(base=1000001.0))
    assert list(differences(replace(MIXER, position=Rotary(base=1e6)), near)) == [
        ("position.base", "1000000.0", "1000001.0")
    ]
    assert list(differences({"f": json.load}, {"f": tomllib.load})) == [("f", "json.load", "tomllib._parser.load")]


def test_arrays_can_be_compared() -> None:
    one, other = ({"x": make(2)} for make in (numpy.zeros, numpy.ones))
    assert list(differences(one, {"x": numpy.zeros(2)})) == []
    assert list(differences(one, other)) == [("x", "[0. 0.]", "[1. 1.]")]


def test_arms_say_whose_weights_they_have(make: Callable[..., Record]) -> None:
    plan = make(seeds=2).plan
    told = {arm.name: described(plan, arm) for arm in plan.claim.arms}
    assert told["plain"] == "trained; the others are set against it"
    assert told["rerope"] == "weights of plain; mixer.position.map: Identity() → ReRoPE(window=32)"
    plan = make(claim=records.measured(), seeds=2).plan
    assert described(plan, plan.claim.arms[1]) == "all of it: 1 → 2"


def test_an_arm_with_data_of_its_own_says_so() -> None:
    plan = make_plan(rope_tie, "rope-tie", "smoke", records.HERE, {"digest": ""})
    told = {arm.name: described(plan, arm) for arm in plan.claim.arms}
    assert told["separated"] == "trained; data.separators: False → True"
