"""Sets of (query, key) pairs below the diagonal as few tiles that stock attention kernels know.

A tile is a rectangle of rows (queries) and columns (keys), counted from its own corner, of which these pairs count:

    full    all
    lower   column <= row: what a kernel calls causal; with more rows than columns the last rows see every column
    upper   column >= row - (rows - columns): the same read backwards
    window  row <= column <= row + columns - rows: a band, for kernels that take a mask

Rows and columns are indices of keys; queries are the last ones. `count` equal tiles at a fixed step along the diagonal
are one Tile, and one call of a kernel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["full", "lower", "upper", "window"]


@dataclass(frozen=True)
class Tile:
    kind: Kind
    row: int  # first row of the first tile
    column: int
    rows: int
    columns: int
    count: int = 1
    step: int = 0  # from one tile to the next, in rows and in columns alike; no row is in two tiles of a batch

    @property
    def last_row(self) -> int:
        """One past the last row of the last tile."""
        return self.row + (self.count - 1) * self.step + self.rows

    @property
    def last_column(self) -> int:
        """One past the last column of the last tile."""
        return self.column + (self.count - 1) * self.step + self.columns

    def seen(self, row: int) -> range:
        """The columns of the tile that count in a row of the tile."""
        more = self.rows - self.columns
        match self.kind:
            case "full":
                return range(self.columns)
            case "lower":
                return range(min(row + 1, self.columns))
            case "upper":
                return range(max(0, row - more), self.columns)
            case "window":
                return range(row, row - more + 1)

    def pairs(self) -> list[tuple[int, int]]:
        """Every (row, column) that counts: the slow twin of the kernels."""
        shifts = (self.step * one for one in range(self.count))
        return [
            (self.row + shift + i, self.column + shift + j)
            for shift in shifts
            for i in range(self.rows)
            for j in self.seen(i)
        ]


def below(start: int, stop: int, behind: int, left: int = 0) -> list[Tile]:
    """Rows start <= i < stop, columns left <= j <= i - behind: what a causal mask leaves, `behind` places late."""
    start = max(start, behind + left)
    if start >= stop:
        return []
    square = start - behind  # the first column of the triangle; all before it are seen by every row
    tiles = [Tile("lower", start, square, stop - start, stop - start)]
    if square > left:
        tiles.append(Tile("full", start, left, stop - start, square - left))
    return tiles


def band(start: int, stop: int, low: int, high: int | None) -> list[Tile]:
    """Rows start <= i < stop, columns j >= 0 with low <= i - j < high: a band along the diagonal.

    Blocks of high - low rows meet their band in a lower triangle and an upper one, which partition it.
    """
    if high is None or high >= stop:
        return below(start, stop, low)
    side = high - low
    if side <= 0:
        return []
    tiles = below(start, min(stop, high), low)  # rows that meet the edge of the sequence before that of the band
    first = max(start, high)
    count, rest = divmod(max(0, stop - first), side)
    if count:
        tiles.append(Tile("lower", first, first - low, side, side, count, side))
        if side > 1:
            tiles.append(Tile("upper", first, first - high + 1, side - 1, side - 1, count, side))
    if rest:
        row = first + count * side
        tiles.append(Tile("lower", row, row - low, rest, rest))
        tiles.append(Tile("full", row, row - high + rest, rest, side - rest))
        if rest > 1:
            tiles.append(Tile("upper", row, row - high + 1, rest - 1, rest - 1))
    return together(tiles)


def within_reach(start: int, stop: int, left: int, right: int, high: int | None) -> list[Tile]:
    """Rows start <= i < stop, columns left <= j < right with i - j < high, where right <= start: all come before."""
    if start >= stop or left >= right:
        return []
    if high is None:
        return [Tile("full", start, left, stop - start, right - left)]
    cut = max(start, left + high)  # the first row that does not reach the leftmost column
    tiles = [Tile("full", start, left, min(stop, cut) - start, right - left)] if start < cut else []
    first, rows = cut - high + 1, min(stop, right + high - 1) - cut  # the last ones may reach none
    if rows > 0:
        tiles.append(Tile("upper", cut, first, rows, rows))
        if first + rows < right:
            tiles.append(Tile("full", cut, first + rows, rows, right - first - rows))
    return tiles


def windows(start: int, stop: int, low: int, high: int | None, rows: int) -> list[Tile]:
    """The pairs of `band` as masked windows of so many rows: one softmax a row, but masked pairs are computed too."""
    if high is None or high >= stop or high <= low:
        return band(start, stop, low, high)
    tiles = below(start, min(stop, high), low)
    first, side = max(start, high), high - low
    count, rest = divmod(max(0, stop - first), rows)
    if count:
        tiles.append(Tile("window", first, first - high + 1, rows, side + rows - 1, count, rows))
    if rest:
        row = first + count * rows
        tiles.append(Tile("window", row, row - high + 1, rest, side + rest - 1))
    return tiles


def trapezoids(tile: Tile, columns: int) -> list[Tile]:
    """A triangle as strips of so many columns, each with its triangle and the rectangle of the rows beyond it."""
    if tile.kind not in ("lower", "upper") or tile.rows != tile.columns:
        return [tile]
    strips = []
    for left in range(0, tile.columns, columns):
        size = min(columns, tile.columns - left)
        if tile.kind == "lower":
            strips.append(
                replace(tile, row=tile.row + left, column=tile.column + left, rows=tile.rows - left, columns=size)
            )
        else:
            strips.append(replace(tile, column=tile.column + left, rows=left + size, columns=size))
    return strips


def shifted(tiles: Iterable[Tile], rows: int) -> list[Tile]:
    """The tiles with rows counted from a later one, as where the first queries are not asked for."""
    return [replace(tile, row=tile.row - rows) for tile in tiles]


def together(tiles: Iterable[Tile]) -> list[Tile]:
    """The same pairs in fewer tiles: equal ones that follow one another at one step are counted as one."""
    found: list[Tile] = []
    for tile in tiles:
        for place, other in enumerate(found):
            if (joined := _join(other, tile)) is not None:
                found[place] = joined
                break
        else:
            found.append(tile)
    return found


def _join(a: Tile, b: Tile) -> Tile | None:
    if (a.kind, a.rows, a.columns) != (b.kind, b.rows, b.columns):
        return None
    step = b.row - (a.row + (a.count - 1) * a.step)
    steps = {step, b.column - (a.column + (a.count - 1) * a.step)}
    steps |= ({a.step} if a.count > 1 else set()) | ({b.step} if b.count > 1 else set())
    return replace(a, count=a.count + b.count, step=step) if len(steps) == 1 and step >= a.rows else None
