"""A local MLflow store in SQLite: an experiment a run, an MLflow run a cell.

    mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db

(MLflow keeps its store of plain files in maintenance, and refuses to open it without being told to.)
"""

import logging
from pathlib import Path
from typing import Any

from paribus.core.errors import optional
from paribus.lab.curves import OF_A_CELL, Curve, Curves
from paribus.lab.sinks.base import Sink

EXTRA = "mlflow"
DATABASE = "mlflow.db"
AT_ONCE = 1000  # metrics in one call, MLflow's own limit


class MLflowStore(Sink):
    """Metrics train/loss, train/norm and train/rate by step, and those of the cell, "@" in a name written as "_at_"."""

    def write(self, curves: Curves, folder: Path, final: Path) -> None:
        for needed in ("mlflow", "sqlalchemy", "alembic"):
            optional(needed, EXTRA)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
        stores = optional("mlflow.store.tracking.sqlalchemy_store", EXTRA)
        entities = optional("mlflow.entities", EXTRA)
        artifacts = (final.resolve() / "artifacts").as_uri()
        store = stores.SqlAlchemyStore(f"sqlite:///{(folder / DATABASE).resolve()}", artifacts)
        experiment = store.create_experiment(curves.run.resolve().name, artifacts, [])
        for curve in curves.cells:
            _write(store, entities, experiment, curve)
        store.engine.dispose()


def _write(store: Any, entities: Any, experiment: str, curve: Curve) -> None:
    at = round(1000 * curve.seconds)
    run = store.create_run(experiment, "paribus", at, [], curve.name).info.run_id
    params = [entities.Param(name, str(curve.about[name])) for name in OF_A_CELL if curve.about[name] is not None]
    metrics = [
        entities.Metric(f"train/{name}", float(value), at, event["step"])
        for event in curve.events
        for name, value in event.items()
        if name != "step" and isinstance(value, (int, float))
    ]
    metrics += [entities.Metric(name.replace("@", "_at_"), value, at, 0) for name, value in curve.metrics.items()]
    store.log_batch(run, [], params, [])
    for begin in range(0, len(metrics), AT_ONCE):
        store.log_batch(run, metrics[begin : begin + AT_ONCE], [], [])
    ended = entities.RunStatus.RUNNING if curve.about["status"] == "unfinished" else entities.RunStatus.FINISHED
    store.update_run_info(run, ended, at, curve.name)
