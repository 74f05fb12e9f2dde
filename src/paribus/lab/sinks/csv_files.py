"""steps.csv, a row a training step, and metrics.csv, a row a metric of a finished cell."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from paribus.lab.curves import OF_A_CELL, Curves, Row
from paribus.lab.sinks.base import Sink


class CSVFiles(Sink):
    """RFC 4180 with a head line, UTF-8; what is not there (the loss of a step that diverged) is an empty field."""

    def write(self, curves: Curves, folder: Path, final: Path) -> None:
        _write(folder / "steps.csv", curves.step_columns(), curves.steps())
        _write(folder / "metrics.csv", [*OF_A_CELL, "metric", "value"], curves.metrics())


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
