"""A corpus as training reads it: the same documents twice, in batches of bytes."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paribus.core.errors import ConfigError, CorpusError
from paribus.tokenizer import _native
from paribus.tokenizer.settings import Settings
from paribus.tokenizer.text import compose, to_bytes

BATCH = 8 << 20  # bytes handed to the core at a time, at the most
FILE = 2 << 20  # bytes of a file held as one document; a longer one comes in parts, cut at line ends
LINE = 4 << 20  # a line of a file that goes on to so many bytes is cut there

Documents = Callable[[], Iterable[bytes]]


def documents_of(corpus: Any, field: str = "text", without: Iterable[Path] = ()) -> Documents:
    """Paths are read as files and folders; a list of strings or bytes is the texts themselves; a function that takes
    nothing and gives an iterable of texts is called once for each pass. field: of JSONL and Parquet files; without:
    files and folders that are no part of the corpus though they lie in its folders."""
    left_out = list(without)
    if isinstance(corpus, Path):
        return lambda: _read([corpus], field, left_out)
    if callable(corpus):
        return lambda: map(to_bytes, corpus())
    if isinstance(corpus, (str, bytes)):
        raise ConfigError("a single text is no corpus: pass pathlib.Path(...) for a file, or a list of texts")
    if not isinstance(corpus, (list, tuple)):
        raise ConfigError(
            f"a corpus is read twice, and a {type(corpus).__name__} may not be: pass paths, a list of texts, or a "
            "function that gives the texts anew at each call"
        )
    if corpus and all(isinstance(one, Path) for one in corpus):
        return lambda: _read(corpus, field, left_out)
    return lambda: map(to_bytes, corpus)


class Passed:
    """What of a corpus has gone by: bytes, and their CRC-32."""

    def __init__(self, size: int = 0, crc: int = 0) -> None:
        self.size, self.crc = size, crc

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)


def batches(
    documents: Documents, settings: Settings, limit: int = BATCH, after: Passed | None = None
) -> Iterator[list[bytes]]:
    """The documents, about `limit` bytes of them at a time; longer ones in parts that training cuts there anyhow.

    after: begin behind these bytes. Raises CorpusError if other bytes are found there.
    """
    limit = min(limit, BATCH)
    batch: list[bytes] = []
    size = 0
    for data in _from(documents(), settings, after or Passed()):
        begin = 0
        while begin < len(data):
            end = len(data)
            if end - begin > limit:
                end = _native.training_cut(data, begin, limit, settings.isolate_digits)
            part = data if end - begin == len(data) else data[begin:end]
            if batch and size + len(part) > limit:
                yield batch
                batch, size = [], 0
            batch.append(part)
            size += len(part)
            begin = end
    if batch:
        yield batch


def _from(documents: Iterable[bytes], settings: Settings, after: Passed) -> Iterator[bytes]:
    passed = Passed()
    for data in documents:
        if settings.nfc:
            data = compose(data)
        if passed.size < after.size:
            known = data[: after.size - passed.size]
            data = data[len(known) :]
            passed.add(known)
            if passed.size == after.size:
                require_same(passed, after)
        yield data
    if passed.size < after.size:
        require_same(passed, after)


def require_same(found: Passed, before: Passed) -> None:
    if (found.size, found.crc) != (before.size, before.crc):
        raise CorpusError(
            "the corpus is not what it was when it was read before: leave its files as they are until the training "
            "has ended, and let a function give the same texts at each call; then begin anew, in another work folder"
        )


def _read(paths: Iterable[Path], field: str, without: Iterable[Path]) -> Iterator[bytes]:
    from paribus.text.readers import documents

    found = documents(paths, field, longest=FILE, piece=LINE // 4, without=without)
    return (document.data for document in found)


def require_text(size: int) -> None:
    if size == 0:
        raise CorpusError(
            "the corpus is empty: there is nothing to learn from; name files or folders with text in them"
        )
