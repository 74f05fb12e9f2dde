"""The events of one training as JSON lines, cut back to the last checkpoint when a run goes on."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

from paribus.core.errors import RunFolderError
from paribus.lab.folder import read_lines as read_lines
from paribus.training.loop import Journal


class EventFile(Journal):
    """Appends to a file; `tell` also hears every event, for progress. first: the step of the file's first line."""

    def __init__(self, path: Path, tell: Any, first: int = 0) -> None:
        self.path, self.tell, self.first = path, tell, first
        self.file: TextIO | None = None

    def event(self, event: dict[str, Any]) -> None:
        assert self.file is not None
        self.file.write(json.dumps(event) + "\n")
        self.tell(event)

    def rewind(self, step: int) -> None:
        self.close()
        wanted = step - self.first
        lines = read_lines(self.path)[:wanted]
        if len(lines) < wanted:
            raise RunFolderError(
                f"{self.path} has {len(lines)} events where the checkpoint beside it has {wanted} steps: delete "
                f"{self.path.parent} and run the same command again, only that is redone"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close)
        # Cut in place: a process that dies here has lost no event that a checkpoint counts on.
        self.file.truncate(sum(map(len, lines)))

    def flush(self) -> None:
        assert self.file is not None
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_lines(path)]
