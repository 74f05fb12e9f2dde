from collections.abc import Callable

from paribus.lab.record import Record
from paribus.lab.report.configs import described, differences, spell

from . import records


def test_only_the_fields_that_differ_are_told() -> None:
    one = {"part": "A", "x": 1, "inner": {"part": "B", "y": (1, 2), "z": 0.5}}
    other = {"part": "A", "x": 1, "inner": {"part": "B", "y": (1, 2), "z": 0.25}}
    assert list(differences(one, other)) == [("inner.z", "0.5", "0.25")]
    whole = {"part": "A", "x": 1, "inner": {"part": "C"}}
    assert list(differences(one, whole)) == [("inner", "B(y=(1, 2), z=0.5)", "C()")]
    assert list(differences(one, one)) == []
    assert list(differences(1, 2)) == [("all of it", "1", "2")]


def test_plain_data_reads_like_code() -> None:
    assert spell({"part": "Rotary", "base": 10000.0, "map": {"part": "ReRoPE", "window": 32}}) == (
        "Rotary(base=10000, map=ReRoPE(window=32))"
    )
    assert spell([1]) == "(1,)"
    assert spell({"a": None}) == "{a=None}"


def test_arms_say_whose_weights_they_have(make: Callable[..., Record]) -> None:
    plan = make(seeds=2).plan
    told = {arm.name: described(plan, arm) for arm in plan.claim.arms}
    assert told["plain"] == "trained; the others are set against it"
    assert told["rerope"] == "weights of plain; mixer.position.map: Identity() → ReRoPE(window=32)"
    plan = make(claim=records.measured(), seeds=2).plan
    assert described(plan, plan.claim.arms[1]) == "all of it: 1 → 2"
