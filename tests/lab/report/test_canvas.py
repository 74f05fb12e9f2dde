import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.lab.report.figures.canvas import (
    Canvas,
    apart,
    fitted,
    log_ticks,
    opened,
    settings,
    short,
    swarm,
    text_width,
    tick_labels,
)

places = st.lists(st.floats(-50, 450), min_size=1, max_size=12)


@given(places)
def test_labels_stand_apart_in_their_order_and_inside(wanted: list[float]) -> None:
    placed = apart(wanted, 15.0, 0.0, 400.0)
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    for a, b in itertools.pairwise(order):
        assert placed[b] - placed[a] >= 15.0 - 1e-6
    assert min(placed) >= -1e-6
    assert max(placed) <= 400.0 + 1e-6


def test_labels_with_room_stay_where_they_are() -> None:
    assert apart([100.0, 20.0, 200.0], 15.0, 0.0, 400.0) == [100.0, 20.0, 200.0]
    assert apart([100.0, 100.0], 15.0, 0.0, 400.0) == [92.5, 107.5]


@given(st.lists(st.floats(0, 60), max_size=20))
def test_dots_of_a_swarm_do_not_cover_one_another(across: list[float]) -> None:
    offsets = swarm(across, 4.0)
    for (x, y), (u, v) in itertools.combinations(list(zip(across, offsets)), 2):
        assert (x - u) ** 2 + (y - v) ** 2 >= 64 - 1e-6


def test_a_lone_dot_stays_on_its_line() -> None:
    assert swarm([10.0, 100.0], 4.0) == [0.0, 0.0]


def test_long_names_lose_their_middle_and_odd_ones_are_named() -> None:
    assert short("plain") == "plain"
    assert short("rotary-base-10000-mixed-radix", 11) == "rotar…radix"
    assert short(" \n") == "(no name)"
    assert len(short("x" * 100)) == 20


def test_words_fit_their_room() -> None:
    with settings():
        words, size = fitted("a very long title that goes on and on " * 3, 200)
        assert text_width(words, size) <= 200
        assert fitted("short", 200)[0] == "short"


def test_ticks_have_equal_digits() -> None:
    assert tick_labels([0.0, 0.25, 0.5]) == ["0", "0.25", "0.50"]
    assert tick_labels([-1.0, 0.0, 1.0]) == ["−1", "0", "1"]
    assert tick_labels([1e9, 2e9]) == ["1e+09", "2e+09"]


@pytest.mark.parametrize(("low", "high"), [(1.0, 8.0), (1e3, 1e9), (0.02, 50.0), (3.0, 4.0), (1e2, 1e20)])
def test_log_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert low <= ticks[0] < ticks[-1] <= high


def test_a_narrow_range_is_opened_around_its_middle() -> None:
    low, high = opened(2.0, 2.0)
    assert low < 2.0 < high
    assert (low + high) / 2 == pytest.approx(2.0)
    assert opened(1.0, 2.0) == (1.0, 2.0)
    assert opened(0.0, 0.0)[0] < 0


def test_a_picture_keeps_no_trace_of_its_making() -> None:
    with settings():
        canvas = Canvas(height=100, left=20, right=20, top=20, bottom=20)
        canvas.axes.plot([0, 1], [0, 1], marker="o")
        canvas.write(5, 5, "$a_b$ <&> 苏")
        svg = canvas.svg("a <title>", "salt")
    root = ET.fromstring(svg)
    assert root.get("aria-label") == "a <title>"
    assert "$a_b$ <&> 苏" in "".join(root.itertext())
    assert "matplotlib" not in svg.lower()
    assert "DejaVu" not in svg
    assert "metadata" not in svg
