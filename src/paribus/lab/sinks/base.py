"""Contract of a sink: write the curves of a run into a folder, whole or not at all. Nothing is ever read back."""

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from paribus.core.errors import InputError, ParibusError
from paribus.lab.curves import Curves


class Sink(ABC):
    @abstractmethod
    def write(self, curves: Curves, folder: Path, final: Path) -> None:
        """Fill the empty `folder`, which will be renamed to `final`. Raises MissingExtra without what it needs."""


def export(curves: Curves, sink: Sink, out: Path) -> list[Path]:
    """Write to a new or empty folder `out`; the files that are there then, by name."""
    if out.resolve() == curves.run.resolve() or curves.run.resolve() in out.resolve().parents:
        raise InputError(f"{out} lies in the run folder: choose a place outside of it with --out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty: choose a new folder with --out, or delete this one first")
    partial = out.with_name(out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        sink.write(curves, partial, out)
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except OSError as error:
        raise ParibusError(
            f"cannot write {error.filename or out} ({error.strerror or error}): free space, make it writable, or "
            "choose another place with --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())
