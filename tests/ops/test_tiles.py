"""Tiles hold each pair of their set once, and no other."""

import pytest

from paribus.ops.tiles import Tile, band, below, shifted, together, trapezoids, windows, within_reach

CASES = [(start, stop) for start in (0, 3, 9) for stop in (9, 10, 17, 31)]
BANDS = [(0, None), (0, 5), (0, 1), (5, None), (2, 6), (0, 40), (3, 4), (5, 5), (4, 3)]


def pairs(tiles: list[Tile]) -> list[tuple[int, int]]:
    return sorted(pair for tile in tiles for pair in tile.pairs())


def wanted(start: int, stop: int, low: int, high: int | None) -> list[tuple[int, int]]:
    inside = range(low, stop if high is None else high)
    return [(i, j) for i in range(start, stop) for j in range(i + 1) if i - j in inside]


@pytest.mark.parametrize(("start", "stop"), CASES)
@pytest.mark.parametrize(("low", "high"), BANDS)
def test_a_band_in_tiles_strips_and_windows(start, stop, low, high):
    expected = wanted(start, stop, low, high)
    tiles = band(start, stop, low, high)
    assert pairs(tiles) == expected
    assert pairs([part for tile in tiles for part in trapezoids(tile, 2)]) == expected
    assert pairs(windows(start, stop, low, high, 3)) == expected
    assert pairs(shifted(tiles, 3)) == [(i - 3, j) for i, j in expected]


def test_below_a_left_edge():
    assert pairs(below(4, 7, 1, left=2)) == [(i, j) for i in range(4, 7) for j in range(2, i)]
    assert below(4, 7, 5, left=2) == []


@pytest.mark.parametrize("high", [None, 1, 3, 6, 9, 40])
@pytest.mark.parametrize(
    ("start", "stop", "left", "right"), [(7, 12, 2, 7), (9, 10, 0, 3), (5, 20, 3, 3), (4, 4, 0, 2)]
)
def test_a_rectangle_within_reach(start, stop, left, right, high):
    expected = [(i, j) for i in range(start, stop) for j in range(left, right) if high is None or i - j < high]
    assert pairs(within_reach(start, stop, left, right, high)) == expected


def test_a_long_band_is_few_tiles():
    assert len(band(0, 4096, 0, 64)) <= 3
    assert len(band(0, 4096, 0, 1)) <= 2


def test_rows_and_columns_of_a_batch():
    tile = Tile("lower", 3, 1, 4, 4, count=3, step=5)
    rows, columns = zip(*tile.pairs(), strict=True)
    assert (min(rows), max(rows) + 1) == (3, tile.last_row)
    assert (min(columns), max(columns) + 1) == (1, tile.last_column)


def test_tiles_that_share_rows_stay_apart():
    """One kernel call writes each row once."""
    tiles = [Tile("full", 0, 0, 4, 2), Tile("full", 2, 2, 4, 2)]
    assert together(tiles) == tiles
    assert together([Tile("full", 0, 0, 2, 2), Tile("full", 2, 2, 2, 2)]) == [Tile("full", 0, 0, 2, 2, 2, 2)]
