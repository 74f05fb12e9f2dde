"""Read a corpus once and lay it out for training: split, ordered, hashed, and written whole or not at all."""

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
import psutil

from paribus.core.config import digest, to_dict
from paribus.core.errors import CorpusError
from paribus.text.corpora.base import Corpus
from paribus.text.prepared import SCHEMA, SEPARATOR, Prepared
from paribus.text.split import SPLITS, split_of

# One row per document: SHA-256 of its name and of its content, where it lies in the spool, and its split.
# Packed, since a corpus of small records has many millions of them.
PACK = struct.Struct("=32s32sqqB")
ROW = np.dtype([("name", ">u8", 4), ("content", ">u8", 4), ("start", "i8"), ("size", "i8"), ("split", "u1")])
SAMPLE = 1_000_000  # bytes shown to zlib
STALE = 86_400  # seconds after which another machine's unfinished preparation is taken for abandoned


def prepare(corpus: Corpus, folder: Path | None = None) -> Prepared:
    """The corpus on disk, prepared now or found prepared; the corpus is read in either case, to know which it is.

    folder: where prepared corpora are kept; by default the user's cache folder, under paribus/corpora. Two processes
    may prepare the same corpus at once. A damaged copy is replaced. Memory is bounded by the longest document and
    81 bytes per document; on disk, twice the corpus is needed while it is written.
    Raises CorpusError for a corpus that cannot be read, is too small to have a train, a dev and a test part, or
    cannot be written.
    """
    root = Path(folder) if folder is not None else platformdirs.user_cache_path("paribus") / "corpora"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with _workshop(root) as workshop:
            index = _spool(corpus, workshop / "spool")
            manifest = _describe(corpus, index)
            target = root / digest({key: manifest.get(key) for key in ("corpus", "python", "digest")})[:16]
            if (found := _whole(target, manifest)) is not None:
                return found
            built = workshop / "built"
            built.mkdir()
            _write(built, workshop / "spool", index, manifest)
            return _install(built, target, manifest)
    except OSError as error:
        raise CorpusError(
            f"cannot prepare the corpus {corpus.name} under {root}: {error.strerror or error}; "
            "nothing was left half-written: free space there, or choose a folder that you may write"
        ) from error


@contextlib.contextmanager
def _workshop(root: Path) -> Iterator[Path]:
    """A folder for unfinished work, gone at the end whatever happens."""
    path = root / f".preparing-{platform.node()}~{os.getpid()}~{secrets.token_hex(4)}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed processes left: those of this machine at once, those of others after a day."""
    for path in root.glob(".preparing-*"):
        host, _, owner = path.name.removeprefix(".preparing-").partition("~")
        with contextlib.suppress(OSError, ValueError):
            dead = host == platform.node() and not psutil.pid_exists(int(owner.partition("~")[0]))
            if dead or time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)


def _spool(corpus: Corpus, spool: Path) -> npt.NDArray[Any]:
    """Write the documents one after the other as they come; the rows of their index in their final order."""
    rows, start = bytearray(), 0
    with spool.open("wb") as out:
        for name, data in corpus.documents():
            if data:
                out.write(data)
                key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
                part = SPLITS.index(split_of(name))
                rows += PACK.pack(key, hashlib.sha256(data).digest(), start, len(data), part)
                start += len(data)
    index = np.frombuffer(rows, dtype=ROW)
    keys = np.concatenate([index["name"], index["content"]], axis=1)
    return index[np.lexsort(keys.T[::-1])]


def _describe(corpus: Corpus, index: npt.NDArray[Any]) -> dict[str, Any]:
    """The manifest, as far as it is known before the files are written."""
    total = hashlib.sha256(SCHEMA.encode())
    total.update(np.concatenate([index["name"], index["content"]], axis=1).tobytes())
    splits = {}
    for k, split in enumerate(SPLITS):
        sizes = index["size"][index["split"] == k]
        splits[split] = {"documents": len(sizes), "bytes": int(sizes.sum())}
    if not all(part["documents"] for part in splits.values()):
        shares = ", ".join(f"{split} {part['bytes']} bytes" for split, part in splits.items())
        raise CorpusError(
            f"the corpus {corpus.name} is too small for its split: {len(index)} documents gave {shares}; each part "
            "needs at least one document, and one in twenty falls to dev and to test: give more documents or a "
            "longer file"
        )
    return {
        "schema": SCHEMA,
        "corpus": to_dict(corpus),
        **({"python": platform.python_version()} if corpus.depends_on_python else {}),
        "digest": total.hexdigest(),
        "documents": len(index),
        "bytes": int(index["size"].sum()),
        "splits": splits,
    }


def _write(built: Path, spool: Path, index: npt.NDArray[Any], manifest: dict[str, Any]) -> None:
    for k, split in enumerate(SPLITS):
        rows = index[index["split"] == k]
        total = hashlib.sha256()
        with spool.open("rb") as text, (built / f"{split}.bin").open("wb") as out:
            for start, size in zip(rows["start"].tolist(), rows["size"].tolist()):
                text.seek(start)
                data = text.read(size) + bytes([SEPARATOR])
                out.write(data)
                total.update(data)
        manifest["splits"][split]["sha256"] = total.hexdigest()
        np.save(built / f"{split}.offsets.npy", np.concatenate([[0], np.cumsum(rows["size"] + 1)]), allow_pickle=False)
    with (built / "train.bin").open("rb") as train:
        sample = train.read(SAMPLE)
    manifest["zlib_bits_per_byte"] = round(8 * len(zlib.compress(sample, 9)) / len(sample), 4)
    (built / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _whole(target: Path, manifest: dict[str, Any]) -> Prepared | None:
    """What lies at the target, if it is whole and of these documents."""
    try:
        found = Prepared.open(target)
    except CorpusError:
        return None
    return found if found.digest == manifest["digest"] and found.intact() else None


def _install(built: Path, target: Path, manifest: dict[str, Any]) -> Prepared:
    for attempt in range(5):
        try:
            built.rename(target)  # onto a folder that is not empty, this fails: nobody's work is overwritten
            return Prepared.open(target)
        except OSError:
            # Either another process was first, which is as good, or a damaged copy lies there, which goes.
            if (found := _whole(target, manifest)) is not None:
                return found
            if attempt == 4:
                raise
            aside = built.with_name(f"damaged-{attempt}")
            with contextlib.suppress(FileNotFoundError):
                target.rename(aside)
    raise AssertionError("the last attempt returns or raises")
