"""Parts: frozen, checked, canonical, strictly read back."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, field, replace
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.config import (
    Part,
    bibliography,
    canonical_json,
    digest,
    from_dict,
    part_name,
    require,
    revisions,
    to_dict,
    walk,
)
from paribus.core.errors import ConfigError


class Shape(Part, ABC):
    @abstractmethod
    def area(self) -> float: ...


class Square(Shape):
    source: ClassVar[str] = "Euclid, Elements, I.46"
    side: float = 1.0

    def check(self) -> None:
        require(self.side > 0, f"side = {self.side}: expected a positive number")

    def area(self) -> float:
        return self.side**2


class Box:
    class Config(Part):
        source: ClassVar[str] = ""
        revision: ClassVar[int] = 3
        shape: Shape
        count: int
        more: tuple[Shape, ...] = ()
        pair: tuple[float, int] = (0.0, 0)
        maybe: Shape | None = None
        kind: Literal["open", "shut"] = "open"
        named: dict[str, float] = field(default_factory=dict)
        lengths: Sequence[int] = ()
        label: str = ""
        lid: bool = False


class Holder(Part):
    work: Callable[[int], int]
    anything: Any = None


BOX = Box.Config(shape=Square(side=2.0), count=3, more=(Square(),), pair=(0.5, 1), maybe=Square(side=3.0), lid=True)


def test_a_part_is_frozen_keyword_only_and_equal_by_value():
    with pytest.raises(FrozenInstanceError):
        BOX.count = 4
    with pytest.raises(TypeError):
        Square(2.0)
    assert Square(side=2) == Square(side=2.0)
    assert hash(Square(side=2)) == hash(Square(side=2.0))
    assert Square(side=2) != Square(side=3)
    assert part_name(Square) == "Square"
    assert part_name(Box.Config) == "Box"
    assert Square().build() == Square()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 1.0}, "Box.count = 1.0: expected int"),
        ({"count": True}, "Box.count = True: expected int"),
        ({"count": "3"}, "Box.count = '3'"),
        ({"shape": 3}, "Box.shape = 3: expected a part of the kind Shape"),
        ({"shape": None}, "Box.shape = None"),
        ({"maybe": 3}, "Box.maybe = 3: expected"),
        ({"more": Square()}, "Box.more"),
        ({"more": (Square(), 1)}, r"Box.more\[1\] = 1"),
        ({"pair": (1.0,)}, "Box.pair = .*expected 2 values"),
        ({"pair": (1.0, 1, 1)}, "Box.pair = .*expected 2 values"),
        ({"pair": (True, 1)}, r"Box.pair\[0\] = True: expected float"),
        ({"kind": "ajar"}, "Box.kind = 'ajar': expected one of 'open', 'shut'"),
        ({"named": {"a": "b"}}, "Box.named"),
        ({"named": []}, "Box.named"),
        ({"lengths": (1, 2.5)}, r"Box.lengths\[1\] = 2.5"),
        ({"lid": 1}, "Box.lid = 1: expected bool"),
    ],
)
def test_a_wrong_type_is_named(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(BOX, **change)


def test_values_are_brought_to_their_types():
    box = Box.Config(shape=Square(side=2), count=3, more=[Square()], lengths=range(3), named={"a": 1})
    assert isinstance(box.shape.side, float)
    assert box.more == (Square(),)
    assert tuple(box.lengths) == (0, 1, 2)
    assert isinstance(box.named["a"], float)


def test_values_that_make_no_sense_together():
    with pytest.raises(ConfigError, match=r"side = 0\.0: expected a positive number"):
        Square(side=0)


def test_the_written_form():
    assert to_dict(BOX) == {
        "part": "Box",
        "shape": {"part": "Square", "side": 2.0},
        "count": 3,
        "more": [{"part": "Square", "side": 1.0}],
        "pair": [0.5, 1],
        "maybe": {"part": "Square", "side": 3.0},
        "kind": "open",
        "named": {},
        "lengths": [],
        "label": "",
        "lid": True,
    }
    assert canonical_json({"b": 1, "a": (1.0, "ä")}) == '{"a":[1.0,"ä"],"b":1}'
    assert to_dict(Holder(work=math.floor.__class__)) == {
        "part": "Holder",
        "work": "builtins:builtin_function_or_method",
        "anything": None,
    }


def test_the_digest_is_pinned():
    """Stored results are named by it."""
    assert digest(Square(side=2)) == "1b5e018c55ef76c2ffde94960b353a75bdcd89a91c10224467b4587273cdfcf3"


@given(
    st.floats(1e-300, 1e300),
    st.integers(),
    st.lists(st.floats(1e-3, 1e3)),
    st.none() | st.floats(1, 2),
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    st.text(),
)
def test_reading_back_gives_the_same_part(side, count, sides, maybe, named, label):
    box = Box.Config(
        shape=Square(side=side),
        count=count,
        more=tuple(Square(side=one) for one in sides),
        maybe=None if maybe is None else Square(side=maybe),
        named=named,
        lengths=range(len(sides)),
        label=label,
    )
    back = from_dict(Box.Config, to_dict(box))
    assert back == box
    assert digest(back) == digest(box)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cuont": 3}, "Box has no field 'cuont'; did you mean count?"),
        ({"shape": {"part": "Sqare"}}, "unknown Shape 'Sqare': did you mean Square?"),
        ({"shape": {"side": 1.0}}, 'shape: expected an object with a "part" name'),
        ({"shape": 7}, 'shape: expected an object with a "part" name'),
        ({"shape": {"part": "Square", "side": -1.0}}, "side = -1.0"),
        ({"more": 7}, "more: expected a list"),
        ({"pair": [0.5, 1, 2]}, "pair.*expected 2 values"),
        ({"pair": [0.5]}, "pair.*expected 2 values"),
        ({"maybe": {"part": "Circle"}}, "unknown Shape 'Circle'"),
    ],
)
def test_what_cannot_be_read_back(change, said):
    with pytest.raises(ConfigError, match=said):
        from_dict(Box.Config, {**to_dict(BOX), **change})


def test_a_missing_field():
    data = to_dict(BOX)
    del data["count"], data["shape"]
    with pytest.raises(ConfigError, match="Box needs shape, count"):
        from_dict(Box.Config, data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, object(), {1, 2}, b"x"])
def test_what_has_no_written_form(value):
    with pytest.raises(ConfigError, match="no JSON form"):
        canonical_json(Holder(work=print, anything=value))


def test_walking_through_parts():
    assert [part_name(type(part)) for part in walk(BOX)] == ["Box", "Square", "Square", "Square"]
    assert list(walk({"a": [Square(), 3], "b": (BOX,)}))[:2] == [Square(), BOX]
    assert revisions(BOX) == {"Box": 3, "Square": 1}
    assert bibliography((BOX, Square())) == [("Square", "Euclid, Elements, I.46")]
