"""How long the cells that remain will take: the plan's price, corrected by what cells of their kind took here.

    seconds of a cell = its price * (seconds spent / price), over the cells of its kind and arm that were heard

A reader may take a hundred times longer for a FLOP than a training, so each arm's readings are a kind of their own. A
kind that was not heard yet is corrected by what all cells took.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from paribus.lab.cell import Cell

Price = Callable[[Cell], float | None]  # seconds by the plan; None where it knows nothing
Kind = tuple[str, ...]

LEAST = 1e-9  # seconds: a cell whose work nobody could count has a price all the same
MOST = 0.99  # share of a cell at work that counts as done: after its last step it is read and written


@dataclass(frozen=True)
class Standing:
    """Where a run stands. share: of its seconds, those that are done, below 1 while a cell remains; left: seconds, None
    while nothing is known."""

    share: float
    left: float | None


class Pace:
    """price: what the plan says of a cell; jobs: cells at work at once."""

    def __init__(self, price: Price = lambda cell: None, jobs: int = 1) -> None:
        self.price, self.jobs = price, jobs
        self.heard: dict[str, tuple[Cell, float, float]] = {}  # digest -> cell, seconds spent, price of what they did
        self.first: dict[str, tuple[float, float]] = {}  # digest -> time and share at the first sign of its worker

    def at_work(self, cell: Cell, share: float, now: float) -> None:
        """A cell tells that this share of it is done."""
        since, before = self.first.setdefault(cell.digest, (now, share))
        if share > before:
            spent = (now - since) / len(cell.stacked)  # a stack tells of all its cells at once
            self.heard[cell.digest] = (cell, spent, self._price(cell) * (share - before))

    def again(self, cell: Cell) -> None:
        """Its worker was lost. What was heard of it stays true, and the next one begins somewhere else."""
        self.first.pop(cell.digest, None)

    def finished(self, cell: Cell, seconds: float) -> None:
        """A cell is finished; its last worker took so long, from wherever it went on."""
        _, before = self.first.pop(cell.digest, (0.0, 0.0))
        if before < 1:
            self.heard[cell.digest] = (cell, seconds, self._price(cell) * (1 - before))

    def standing(self, done: Iterable[Cell], remaining: Sequence[tuple[Cell, float]]) -> Standing:
        """done: finished cells; remaining: all others, what is needed first, each with the share that is done of it."""
        corrections = self._corrections()
        known = bool(corrections) or all(self.price(cell) is not None for cell, _ in remaining)

        def seconds(cell: Cell) -> float:
            kinds: tuple[Kind, ...] = ((cell.kind, cell.arm), (cell.kind,), ())
            return self._price(cell) * next((corrections[kind] for kind in kinds if kind in corrections), 1.0)

        behind, work = sum(map(seconds, done)), 0.0
        chains: dict[str, float] = {}  # seconds until a cell can be finished, whatever else there is to do
        for cell, share in remaining:
            whole, share = seconds(cell), min(share, MOST)
            behind, work = behind + whole * share, work + whole * (1 - share)
            before = 0.0 if cell.weights is None else chains.get(cell.weights.digest, 0.0)
            chains[cell.digest] = before + whole * (1 - share) * len(cell.stacked)
        left = max(work / self.jobs, max(chains.values(), default=0.0))
        share = min(behind / (behind + work), 1 - LEAST) if remaining else 1.0
        return Standing(share, left if known else None)

    def _price(self, cell: Cell) -> float:
        price = self.price(cell)
        return max(LEAST, cell.cost if price is None else price)

    def _corrections(self) -> dict[Kind, float]:
        spent: dict[Kind, float] = {}
        priced: dict[Kind, float] = {}
        for cell, seconds, price in self.heard.values():
            for kind in ((cell.kind, cell.arm), (cell.kind,), ()):
                spent[kind] = spent.get(kind, 0.0) + seconds
                priced[kind] = priced.get(kind, 0.0) + price
        return {kind: spent[kind] / priced[kind] for kind in spent if spent[kind] > 0}
