"""A corpus as training reads it: the same documents twice, in batches of bytes."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paribus.core.errors import ConfigError, CorpusError
from paribus.tokenizer.text import to_bytes

BATCH = 8 << 20  # bytes handed to the core at a time

Documents = Callable[[], Iterable[bytes]]


def documents_of(corpus: Any) -> Documents:
    """Paths are read as files and folders; a list of strings or bytes is the texts themselves; a function that takes
    nothing and gives an iterable of texts is called once for each pass."""
    if isinstance(corpus, Path):
        return lambda: _read([corpus])
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
        return lambda: _read(corpus)
    return lambda: map(to_bytes, corpus)


def batches(documents: Documents, nfc: bool, skip: int = 0) -> Iterator[list[bytes]]:
    """Documents from number `skip` on, about BATCH bytes of them at a time."""
    batch: list[bytes] = []
    size = 0
    for i, data in enumerate(documents()):
        if i < skip:
            continue
        if nfc:
            data = _compose(data)
        if batch and size + len(data) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(data)
        size += len(data)
    if batch:
        yield batch


def _read(paths: Iterable[Path]) -> Iterator[bytes]:
    from paribus.text.readers import documents

    return (document.data for document in documents(paths, longest=BATCH, piece=BATCH // 2))


def _compose(data: bytes) -> bytes:
    try:
        return unicodedata.normalize("NFC", data.decode()).encode()
    except UnicodeDecodeError:
        return data


def require_text(size: int) -> None:
    if size == 0:
        raise CorpusError(
            "the corpus is empty: there is nothing to learn from; name files or folders with text in them"
        )
