"""steps.parquet and metrics.parquet: the same two tables as CSV, typed and compressed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paribus.core.errors import optional
from paribus.lab.curves import OF_A_CELL, Curves, Row
from paribus.lab.sinks.base import Sink

EXTRA = "data"
WHOLE = {"replicate", "step"}
TEXT = {"run", "claim", "profile", "cell", "arm", "phase", "kind", "status", "batch", "metric"}


class ParquetFiles(Sink):
    def write(self, curves: Curves, folder: Path, final: Path) -> None:
        _write(folder / "steps.parquet", curves.step_columns(), curves.steps())
        _write(folder / "metrics.parquet", [*OF_A_CELL, "metric", "value"], curves.metrics())


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    arrow, parquet = optional("pyarrow", EXTRA), optional("pyarrow.parquet", EXTRA)
    table: dict[str, list[Any]] = {name: [] for name in columns}
    for row in rows:
        for name in columns:
            table[name].append(row[name])
    known = {**dict.fromkeys(WHOLE, arrow.int64()), **dict.fromkeys(TEXT, arrow.string())}
    arrays = {}
    for name, values in table.items():
        texts = any(isinstance(value, str) for value in values)
        arrays[name] = arrow.array(values, known.get(name, arrow.string() if texts else arrow.float64()))
    parquet.write_table(arrow.table(arrays), path, compression="zstd")
