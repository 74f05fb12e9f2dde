"""Documents of files, folders and standard input, streamed: text, JSONL, Parquet, and gz or zst of any of them.

By the end of the name, after .gz or .zst: `.jsonl` (also `.ndjson`) gives one document a line, `.parquet` one a row,
everything else is one document of the bytes as they are. Nothing is decoded or normalised.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from paribus.core.errors import CorpusError
from paribus.text.cut import cut
from paribus.text.document import Document as Document
from paribus.text.records import json_lines, parquet
from paribus.text.streams import chunks, standard_input, unreadable

LONGEST = 16 << 20  # bytes: a longer document is cut at line ends, so that memory stays bounded
STDIN = "-"


def documents(
    paths: Iterable[str | Path], field: str = "text", longest: int = LONGEST, piece: int | None = None
) -> Iterator[Document]:
    """Every document under the paths, in a fixed order, at most about `longest` bytes of one at a time.

    paths: files, folders (recursive, sorted by name, hidden files and folders skipped), "-" for standard input.
    field: the JSONL field or Parquet column that holds the text.
    longest: a document of more bytes is cut at line ends into documents of about `piece` bytes (default
        longest / 4), named `name#0`, `name#1`, ...; joined, they are the document again.

    Names are relative to the folder given, with forward slashes; a record adds `:LINE` (from 1) or `:ROW` (from 0).
    Raises CorpusError, naming file and line, for anything that cannot be read; MissingExtra for Parquet or zst
    without the extra `data`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_bytes(b"one")
    ...     list(documents([folder]))
    [Document(name='a.txt', data=b'one')]
    """
    for path in paths:
        if str(path) == STDIN:
            yield from _pieces("stdin", standard_input(), longest, piece)
            continue
        for name, file in _files(Path(path)):
            for record, parts in _records(file, field):
                yield from _pieces(name + record, parts, longest, piece)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    empty = True
    for name in _walk(path, ""):
        empty = False
        yield name, path / name
    if empty:
        raise CorpusError(f"{path} holds no files that are not hidden: name a folder with text in it, or a file")


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
            # A broken link is given too, so that opening it tells of it.
            yield prefix + entry.name


def _records(file: Path, field: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    kind = Path(file.stem if file.suffix in (".gz", ".zst") else file.name).suffix
    if kind in (".jsonl", ".ndjson"):
        for line, text in json_lines(file, field):
            yield f":{line}", (text,)
    elif kind == ".parquet":
        for row, text in parquet(file, field):
            yield f":{row}", (text,)
    else:
        yield "", chunks(file)


def _pieces(name: str, parts: Iterable[bytes], longest: int, piece: int | None) -> Iterator[Document]:
    pieces = cut(parts, longest, piece or max(1, longest // 4))
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        yield Document(name, first)
        return
    yield Document(f"{name}#0", first)
    yield Document(f"{name}#1", second)
    for k, data in enumerate(pieces, start=2):
        yield Document(f"{name}#{k}", data)
