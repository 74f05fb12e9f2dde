"""Every sink holds what the files of the run say, and is written whole or not at all."""

import csv
import os
import shutil
import sys

import pytest

from paribus.core.errors import InputError, MissingExtra, ParibusError, RunFolderError
from paribus.lab.curves import read_curves
from paribus.lab.folder import CELLS, EVENTS, RESULT
from paribus.lab.sinks.base import Sink, export
from paribus.lab.sinks.csv_files import CSVFiles
from paribus.lab.sinks.mlflow_store import DATABASE, MLflowStore
from paribus.lab.sinks.parquet_files import ParquetFiles
from paribus.lab.sinks.tensorboard_events import TensorBoardEvents


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_tables(steps, metrics, said, empty):
    events, values = said
    assert {(row["cell"], int(row["step"])) for row in steps} == events.keys()
    assert len(steps) == len(events)
    for row in steps:
        event = events[row["cell"], int(row["step"])]
        for name in ("loss", "norm", "rate"):
            assert row[name] == empty if event[name] is None else float(row[name]) == event[name]
        assert row["batch"] == event["batch"]
        assert row["kind"] == "train"
        assert row["arm"] in ("rotary", "none")
        assert row["phase"] in ("verdict", "aa")
    assert {(row["cell"], row["metric"]): float(row["value"]) for row in metrics} == values
    assert len(metrics) == len(values)
    assert {row["profile"] for row in metrics} == {"smoke"}


def test_csv(curves, said, tmp_path):
    files = export(curves, CSVFiles(), tmp_path / "deep" / "out")
    assert [path.name for path in files] == ["metrics.csv", "steps.csv"]
    metrics, steps = map(rows, files)
    check_tables(steps, metrics, said, "")
    assert {row["learning_rate"] for row in steps} == {"0.01"}


def test_parquet(curves, said, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    files = export(curves, ParquetFiles(), tmp_path / "out")
    assert [path.name for path in files] == ["metrics.parquet", "steps.parquet"]
    metrics, steps = (parquet.read_table(path) for path in files)
    check_tables(steps.to_pylist(), metrics.to_pylist(), said, None)
    kinds = {field.name: str(field.type) for field in steps.schema}
    assert (kinds["step"], kinds["loss"], kinds["arm"], kinds["rate"]) == ("int64", "double", "string", "double")


@pytest.mark.filterwarnings("ignore")  # of packages below TensorBoard
def test_tensorboard(curves, said, tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="an extra")
    export(curves, TensorBoardEvents(), tmp_path / "out")
    events, values = said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {curve.name for curve in curves.cells}
    for curve in curves.cells:
        board = loader.EventAccumulator(str(tmp_path / "out" / curve.name))
        board.Reload()
        tags = board.Tags()["scalars"]
        cell = curve.about["cell"]
        if "train/loss" in tags:
            told = {one.step: one.value for one in board.Scalars("train/loss")}
            wanted = {step: event["loss"] for (name, step), event in events.items() if name == cell}
            assert told == pytest.approx({step: loss for step, loss in wanted.items() if loss is not None})
        for name, value in curve.metrics.items():
            assert board.Scalars(f"metrics/{name}")[0].value == pytest.approx(value)
            assert value == values[cell, name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages below MLflow
def test_mlflow(curves, said, tmp_path):
    tracking = pytest.importorskip("mlflow.tracking", reason="an extra")
    pytest.importorskip("sqlalchemy", reason="an extra")
    (path,) = export(curves, MLflowStore(), tmp_path / "out")
    assert path.name == DATABASE
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{path}")
    experiment = client.get_experiment_by_name("run")
    assert experiment.artifact_location == (tmp_path / "out" / "artifacts").as_uri()
    events, values = said
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.params["cell"] for run in runs} == {curve.about["cell"] for curve in curves.cells}
    for run in runs:
        cell = run.data.params["cell"]
        told = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "train/loss")}
        wanted = {step: event["loss"] for (name, step), event in events.items() if name == cell}
        assert told == pytest.approx({step: loss for step, loss in wanted.items() if loss is not None})
        own = {name.replace("@", "_at_"): value for (which, name), value in values.items() if which == cell}
        assert {name: run.data.metrics[name] for name in own} == pytest.approx(own)


def test_a_run_that_goes_on_gives_what_it_has(run, curves):
    cell = next(path.parent for path in (run / CELLS).glob(f"*/{EVENTS}"))
    (cell / RESULT).unlink()
    whole = (cell / EVENTS).read_text()
    (cell / EVENTS).write_text(whole + '{"step": 99, "lo')
    (found,) = [curve for curve in read_curves(run).cells if curve.about["cell"] == cell.name]
    assert found.about["status"] == "unfinished"
    assert found.metrics == {}
    assert len(found.events) == len(whole.splitlines())


def test_a_line_that_is_damaged_is_told(run):
    path = next((run / CELLS).glob(f"*/{EVENTS}"))
    path.write_text("no JSON\n" + path.read_text())
    with pytest.raises(RunFolderError, match=r"events.jsonl, line 1, is damaged .*delete"):
        read_curves(run)


def test_what_else_the_events_tell_is_a_column(run, curves, tmp_path):
    path = next((run / CELLS).glob(f"*/{EVENTS}"))
    path.write_text(path.read_text().replace('{"step": 0,', '{"step": 0, "scale": 2.5,'))
    files = export(read_curves(run), CSVFiles(), tmp_path / "out")
    steps = rows(files[1])
    assert [row["scale"] for row in steps if row["scale"]] == ["2.5"]


def test_places_that_are_refused(run, curves, tmp_path):
    for place in (run, run / "export"):
        with pytest.raises(InputError, match=r"lies in the run folder"):
            export(curves, CSVFiles(), place)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"is not empty: choose a new folder"):
        export(curves, CSVFiles(), tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert len(export(curves, CSVFiles(), tmp_path / "empty")) == 2
    with pytest.raises(ParibusError, match=r"cannot write .*--out"):
        export(curves, CSVFiles(), tmp_path / "full" / "thesis.tex" / "below")


def test_a_disk_that_fills_leaves_nothing(curves, tmp_path):
    class Full(Sink):
        def write(self, curves, folder, final):
            (folder / "half").write_text("x")
            with open("/dev/full", "w") as file:
                file.write("x" * 100_000)

    with pytest.raises(ParibusError, match=r"No space left on device.*free space"):
        export(curves, Full(), tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_a_run_without_cells(run, tmp_path):
    shutil.rmtree(run / CELLS)
    with pytest.raises(RunFolderError, match="has no cells yet"):
        read_curves(run)
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_curves(tmp_path)


@pytest.mark.parametrize(
    ("sink", "module", "extra"),
    [
        (ParquetFiles(), "pyarrow", "data"),
        (TensorBoardEvents(), "tensorboard", "tensorboard"),
        (MLflowStore(), "mlflow", "mlflow"),
    ],
)
def test_a_missing_extra_is_named(curves, tmp_path, monkeypatch, sink, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'paribus\[{extra}\]'"):
        export(curves, sink, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
