"""A folder of event files for TensorBoard, one a cell, by TensorBoard's own writer: `tensorboard --logdir OUT`."""

from pathlib import Path
from typing import Any

from paribus.core.errors import optional
from paribus.lab.curves import Curve, Curves
from paribus.lab.sinks.base import Sink

EXTRA = "tensorboard"


class TensorBoardEvents(Sink):
    """Tags train/loss, train/norm, train/rate by step, and metrics/NAME at the last step.

    The events of a run tell no times, so that all points of a cell bear the time at which it was finished.
    """

    def write(self, curves: Curves, folder: Path, final: Path) -> None:
        optional("tensorboard", EXTRA)
        writers = optional("tensorboard.summary.writer.event_file_writer", EXTRA)
        for curve in curves.cells:
            writer = writers.EventFileWriter(str(folder / curve.name))
            try:
                for event in _events(curve):
                    writer.add_event(event)
            finally:
                writer.close()


def _events(curve: Curve) -> list[Any]:
    events = optional("tensorboard.compat.proto.event_pb2", EXTRA)
    summaries = optional("tensorboard.compat.proto.summary_pb2", EXTRA)

    def event(step: int, values: dict[str, float]) -> Any:
        tagged = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        return events.Event(wall_time=curve.seconds, step=step, summary=summaries.Summary(value=tagged))

    told = []
    for one in curve.events:
        numbers = {f"train/{k}": v for k, v in one.items() if k != "step" and isinstance(v, (int, float))}
        told.append(event(one["step"], numbers))
    if curve.metrics:
        last = curve.events[-1]["step"] if curve.events else 0
        told.append(event(last, {f"metrics/{name}": value for name, value in curve.metrics.items()}))
    return told
