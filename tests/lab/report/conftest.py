from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.lab.record import Record

from . import records


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Record]:
    """Makes synthetic records in a folder of the test's own."""

    def made(**given: Any) -> Record:
        return records.make_record(tmp_path, **given)

    return made
