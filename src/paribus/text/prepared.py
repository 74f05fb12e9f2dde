"""A corpus as three runs of bytes on disk, with a manifest that says exactly which bytes they are.

    <folder>/<16 digits>/{train,dev,test}.bin   the documents, each followed by one byte 0xFF, which UTF-8 never uses
    <folder>/<16 digits>/{split}.offsets.npy    int64 (documents + 1): where each begins, and the size of the file
    <folder>/<16 digits>/manifest.json

Documents stand in the order of the SHA-256 of their names, so that neighbours have nothing to do with one another.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paribus.core.errors import CorpusError, nearest
from paribus.text.split import SPLITS

SCHEMA = "paribus.corpus/1"
SEPARATOR = 0xFF


class Prepared(NamedTuple):
    """A prepared corpus, open for reading: cheap to open, and the files are mapped only where they are read.

    manifest: {"schema", "corpus" (as a part), "python" (where the texts depend on it), "digest", "documents", "bytes",
    "splits": {split: {"documents", "bytes", "sha256"}}, "zlib_bits_per_byte"}. Bytes are those of the documents,
    without separators; sha256 is that of the .bin file; the bits are what zlib -9 makes of the first MB of the train
    split, a ceiling that a model of any worth stays under.
    """

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "Prepared":
        """Open what `prepare` wrote. Raises CorpusError unless manifest, files and sizes belong together."""
        path = Path(path)
        try:
            manifest = json.loads((path / "manifest.json").read_bytes())
            found = cls(path, manifest)
            if manifest["schema"] != SCHEMA:
                raise ValueError(f"its form is {manifest['schema']!r}, expected {SCHEMA!r}")
            for split in SPLITS:
                n_documents, size = manifest["splits"][split]["documents"], found.size(split)
                if (path / f"{split}.bin").stat().st_size != size:
                    raise ValueError(f"{split}.bin is not {size} bytes long")
                offsets = found.offsets(split)
                if offsets.shape != (n_documents + 1,) or offsets.dtype != np.int64 or offsets[-1] != size:
                    raise ValueError(f"{split}.offsets.npy does not belong to {split}.bin")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path} is not a whole prepared corpus ({error}); remove that folder and start the run again"
            ) from error
        return found

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, a function of the documents' names and contents only."""
        return str(self.manifest["digest"])

    def size(self, split: str) -> int:
        """Bytes of the split's file, separators included."""
        part = self.manifest["splits"][_known(split)]
        return int(part["bytes"] + part["documents"])

    def split(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of "train", "dev" or "test", memory-mapped, read-only."""
        # A plain view: indexing np.memmap itself costs several times more.
        return np.memmap(self.path / f"{_known(name)}.bin", dtype=np.uint8, mode="r").view(np.ndarray)

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        """Where each document of the split begins, int64 (documents + 1), memory-mapped; the last is the size."""
        return np.lib.format.open_memmap(self.path / f"{_known(name)}.offsets.npy", mode="r").view(np.ndarray)

    def intact(self) -> bool:
        """Whether every byte is what the manifest says: reads it all, where `open` looks at sizes only."""
        for name in SPLITS:
            data, offsets = self.split(name), self.offsets(name)
            with (self.path / f"{name}.bin").open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != self.manifest["splits"][name]["sha256"]:
                    return False
            if offsets[0] != 0 or (np.diff(offsets) < 1).any() or (data[offsets[1:] - 1] != SEPARATOR).any():
                return False
        return True


def _known(split: str) -> str:
    if split not in SPLITS:
        raise CorpusError(f"unknown split {split!r}: {nearest(split, SPLITS)}")
    return split
