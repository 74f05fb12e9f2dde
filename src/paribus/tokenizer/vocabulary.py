"""What a BytePiece model holds, and its file: pieces, counts and scores by id, special tokens, how it was trained.

The file (`.bp`) is the native core's own layout, mapped into memory and used where it lies: a header with format
version, length and checksum, the automaton, the scores, the pieces, and this JSON:

    {"schema": "paribus.bytepiece/1", "nfc": bool, "specials": {name: id}, "training": {...}}
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.core.errors import ConfigError
from paribus.tokenizer import _native

SCHEMA = "paribus.bytepiece/1"
SPECIALS = ("<pad>", "<bos>", "<eos>")
MIN_SIZE = len(SPECIALS) + 256


@dataclass(frozen=True)
class Vocabulary:
    """pieces[id], b"" for a special token; scores[id] = ln p(piece); counts[id], 0 where unknown."""

    pieces: Sequence[bytes]
    scores: npt.NDArray[np.float64]
    counts: npt.NDArray[np.uint64]
    specials: Mapping[str, int] = field(default_factory=lambda: {name: i for i, name in enumerate(SPECIALS)})
    nfc: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_counts(cls, counts: Mapping[bytes, int], **fields: Any) -> "Vocabulary":
        """Ids as the original gives them: 0, 1, 2 for <pad>, <bos>, <eos>, then by (length, bytes)."""
        ordered = sorted(counts.items(), key=lambda item: (len(item[0]), item[0]))
        log_total = math.log(sum(counts.values()))
        skip = len(SPECIALS)
        return cls(
            pieces=[b""] * skip + [piece for piece, _ in ordered],
            scores=np.array([0.0] * skip + [math.log(n) - log_total for _, n in ordered]),
            counts=np.array([0] * skip + [n for _, n in ordered], dtype=np.uint64),
            **fields,
        )

    def model(self) -> _native.Model:
        """The vocabulary ready for use. Raises ConfigError if it is none: a byte is missing, a piece comes twice."""
        require(
            bool(np.isfinite(self.scores).all()), "this is no vocabulary: the score of a piece is not a finite number"
        )
        empty = [i for i, piece in enumerate(self.pieces) if not piece]
        require(
            sorted(self.specials.values()) == empty,
            f"this is no vocabulary: {len(self.specials)} special tokens and {len(empty)} ids without a piece do not "
            "go together; each of these ids needs one name",
        )
        meta = {
            "schema": SCHEMA,
            "nfc": self.nfc,
            "specials": dict(self.specials),
            "training": dict(self.training),
        }
        text = json.dumps(meta, sort_keys=True, ensure_ascii=False).encode()
        try:
            data = _native.serialize(list(self.pieces), self.scores, self.counts, self._tilt(), text)
        except (_native.FormatError, ValueError) as error:
            raise ConfigError(f"this is no vocabulary: {error}") from error
        return _native.Model.from_bytes(data)

    def _tilt(self) -> float:
        """Mean of -ln p a byte: it keeps the weights of sampling near one and cancels from every probability."""
        given = np.array([bool(piece) for piece in self.pieces])
        p = np.exp(self.scores) * given
        lengths = np.array([len(piece) for piece in self.pieces])
        return float(-(p * self.scores).sum() / max((p * lengths).sum(), 1e-300))


def read(model: _native.Model) -> Vocabulary:
    meta = json.loads(model.meta)
    if meta.get("schema") != SCHEMA:
        raise ConfigError(f"the model has the schema {meta.get('schema')!r}, expected {SCHEMA!r}: use a newer paribus")
    return Vocabulary(model.pieces(), model.scores(), model.counts(), meta["specials"], meta["nfc"], meta["training"])


def load(path: str | os.PathLike[str]) -> _native.Model:
    """Map a model file. Raises ConfigError for one that is missing, damaged, truncated, foreign or from the future."""
    try:
        return _native.Model.load(os.fspath(path))
    except _native.FormatError as error:
        cure = "train or convert a model with `paribus tokenizer train` or `paribus tokenizer convert`"
        raise ConfigError(f"{os.fspath(path)}: {error}; {cure}") from error


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """All of the file or nothing of it."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
