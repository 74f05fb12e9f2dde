"""`paribus export RUN --to WORD --out DIR`: curves and metrics for other programs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paribus.lab.sinks.base import Sink

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")]
To = Annotated[str, typer.Option("--to", metavar="WORD", help="csv, parquet, tensorboard or mlflow.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")]


def export(run: Run, to: To, out: Out) -> None:
    """Write the curves and metrics of a run for other programs.

    A copy: the run folder stays the truth, and nothing is read back.
    """
    from paribus.lab.curves import read_curves
    from paribus.lab.sinks.base import export as carry_out

    chosen = sink(to)
    files = carry_out(read_curves(run), chosen, out)
    typer.echo(f"{out}: {len(files)} files, {', '.join(str(path.relative_to(out)) for path in files[:2])}")
    if to == "tensorboard":
        typer.echo(f"look at them with: tensorboard --logdir {out}")
    if to == "mlflow":
        typer.echo(f"look at them with: mlflow ui --backend-store-uri sqlite:///{files[0].resolve()}")


def sink(word: str) -> "Sink":
    """The sink of a word of --to."""
    from paribus.core.errors import ConfigError, nearest
    from paribus.lab.sinks.csv_files import CSVFiles
    from paribus.lab.sinks.mlflow_store import MLflowStore
    from paribus.lab.sinks.parquet_files import ParquetFiles
    from paribus.lab.sinks.tensorboard_events import TensorBoardEvents

    words: dict[str, Callable[[], Sink]] = {
        "csv": CSVFiles,
        "parquet": ParquetFiles,
        "tensorboard": TensorBoardEvents,
        "mlflow": MLflowStore,
    }
    if word not in words:
        raise ConfigError(f"unknown word --to {word!r}: {nearest(word, words)}")
    return words[word]()
