"""Sets of (query, key) pairs: what a piece of a position map owns, as a question and as tiles for the fast evaluator.

A set answers for tensors of positions, m of queries and n of keys; `tiles` lists its pairs with n <= m where keys stand
at consecutive positions first, first + 1, ... and the queries are the keys with the indices start .. stop - 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from torch import Tensor

from paribus.ops.tiles import Tile, band, below, together, windows, within_reach


class Pairs(ABC):
    @abstractmethod
    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        """Is the pair of query position m and key position n in the set?"""

    @abstractmethod
    def tiles(self, first: int, start: int, stop: int) -> list[Tile]: ...

    def windowed(self, first: int, start: int, stop: int) -> list[Tile] | None:
        """The same pairs in tiles that a kernel with a mask computes faster, or None."""
        return None

    def within(self, window: int) -> "Pairs | None":
        """The pairs with m - n < window, or None where the set has no such form."""
        return None

    def span(self, m: int) -> tuple[int, int] | None:
        """The positions low .. high - 1 of the keys n <= m that a query at m meets here, or None: no such form."""
        return None

    @property
    def ahead(self) -> bool:
        """True when all keys are later than their queries: empty under a causal mask."""
        return False

    @property
    def reach(self) -> int | None:
        """How many of the last keys, up to the query's own, a query can meet in this set; None: any number."""
        return None

    @property
    def earliest(self) -> int | None:
        """How many of the first positions hold all keys of this set; None: any number."""
        return None


@dataclass(frozen=True)
class Every(Pairs):
    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n) == (m - n)

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return below(start, stop, 0)

    def within(self, window: int) -> Pairs | None:
        return Near(window)


@dataclass(frozen=True)
class Near(Pairs):
    """|m - n| < width."""

    width: int

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n).abs() < self.width

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return band(start, stop, 0, self.width)

    def windowed(self, first: int, start: int, stop: int) -> list[Tile] | None:
        # Few masked pairs beside those that count; the kernel takes 32 rows at a time of so short a tile: measured on a
        # CPU. Triangles win where they are wide, and narrow windows are all border.
        return windows(start, stop, 0, self.width, 64) if 128 <= self.width <= 2048 else None

    def within(self, window: int) -> Pairs | None:
        return Near(min(window, self.width))

    def span(self, m: int) -> tuple[int, int] | None:
        return max(0, m - self.width + 1), m + 1

    @property
    def reach(self) -> int | None:
        return self.width


@dataclass(frozen=True)
class Far(Pairs):
    """m - n >= width."""

    width: int

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return m - n >= self.width

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return below(start, stop, self.width)

    def span(self, m: int) -> tuple[int, int] | None:
        return 0, max(0, m - self.width + 1)

    def within(self, window: int) -> Pairs | None:
        return Between(self.width, window)


@dataclass(frozen=True)
class Between(Pairs):
    """low <= m - n < high."""

    low: int
    high: int

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return (m - n >= self.low) & (m - n < self.high)

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return band(start, stop, self.low, self.high)

    @property
    def reach(self) -> int | None:
        return self.high


@dataclass(frozen=True)
class Ahead(Pairs):
    """n - m >= width."""

    width: int

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        return n - m >= self.width

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return []

    @property
    def ahead(self) -> bool:
        return True


@dataclass(frozen=True)
class Sinks(Pairs):
    """The first `count` positions, from `width` places away, to less than `high`."""

    count: int
    width: int
    high: int | None = None  # None: any number

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        inside = (n < self.count) & (m - n >= self.width)
        return inside if self.high is None else inside & (m - n < self.high)

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        count = min(stop, self.count - first)
        if count <= 0:
            return []
        whole = stop if self.high is None else min(stop, self.high)  # rows up to here reach every sink before them
        full = self.width + count - 1  # the first row that sees every sink
        tiles = below(start, min(whole, full), self.width)
        if max(start, full) < whole:
            tiles.append(Tile("full", max(start, full), 0, whole - max(start, full), count))
        # Then a row sees fewer from one to the next, and may be too near to the last of them.
        for row in range(max(start, whole), min(stop, whole + count - 1)):
            left, right = row - whole + 1, min(count, row - self.width + 1)
            if left < right:
                tiles.append(Tile("full", row, left, 1, right - left))
        return tiles

    def within(self, window: int) -> Pairs | None:
        return replace(self, high=_less(window, self.high))

    @property
    def reach(self) -> int | None:
        return self.high

    @property
    def earliest(self) -> int | None:
        return self.count


@dataclass(frozen=True)
class ChunksBack(Pairs):
    """Keys of the chunk `least` to `most` chunks before the query's own, chunks being `size` positions; n <= m.

    high: and less than so many places back; None: any number.
    """

    size: int
    least: int
    most: int | None
    high: int | None = None

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        back = m // self.size - n // self.size
        inside = (back >= self.least) & (n <= m)
        if self.most is not None:
            inside = inside & (back <= self.most)
        return inside if self.high is None else inside & (m - n < self.high)

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        found = []
        for chunk in range((first + start) // self.size, (first + stop - 1) // self.size + 1):
            edge = chunk * self.size - first  # index of the chunk's first key
            rows = max(start, edge), min(stop, edge + self.size)
            left = 0 if self.most is None else max(0, edge - self.most * self.size)
            if self.least == 0 and self.high is None:
                found += below(*rows, 0, left)
                continue
            if self.least == 0:
                own = max(0, edge)
                inside = band(rows[0] - own, rows[1] - own, 0, self.high)
                found += [replace(tile, row=tile.row + own, column=tile.column + own) for tile in inside]
            found += within_reach(*rows, left, edge - max(0, self.least - 1) * self.size, self.high)
        return together(found)

    def within(self, window: int) -> Pairs | None:
        return replace(self, high=_less(window, self.high))

    def span(self, m: int) -> tuple[int, int] | None:
        edge = m // self.size * self.size
        high = max(0, min(m + 1, edge - (self.least - 1) * self.size))
        low = 0 if self.most is None else min(high, max(0, edge - self.most * self.size))
        return (low if self.high is None else min(high, max(low, m - self.high + 1))), high

    @property
    def reach(self) -> int | None:
        return self.high


@dataclass(frozen=True)
class Queries(Pairs):
    """All pairs n <= m of the queries at the positions low <= m < high, less than `window` places apart."""

    low: int
    high: int
    window: int | None = None  # None: any number

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        inside = (m >= self.low) & (m < self.high) & (n <= m)
        return inside if self.window is None else inside & (m - n < self.window)

    def tiles(self, first: int, start: int, stop: int) -> list[Tile]:
        return band(max(start, self.low - first), min(stop, self.high - first), 0, self.window)

    def within(self, window: int) -> Pairs | None:
        return replace(self, window=_less(window, self.window))


def _less(window: int, before: int | None) -> int:
    return window if before is None else min(window, before)
