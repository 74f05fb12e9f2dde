"""Documents of files, folders and standard input, streamed: text, JSONL, Parquet, and gz or zst of any of them.

By the end of the name, after .gz or .zst: `.jsonl` (also `.ndjson`) gives one document a line, `.parquet` one a row,
everything else is one document of the bytes as they are. Nothing is decoded or normalised.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from paribus.core.errors import CorpusError
from paribus.text.cut import cut
from paribus.text.document import Document as Document
from paribus.text.records import json_lines, parquet
from paribus.text.streams import chunks, standard_input, unreadable

LONGEST = 16 << 20  # bytes: a longer document is cut at line ends, so that memory stays bounded
STDIN = "-"


def documents(
    paths: Iterable[str | Path],
    field: str = "text",
    longest: int = LONGEST,
    piece: int | None = None,
    without: Iterable[str | Path] = (),
) -> Iterator[Document]:
    """Every document under the paths, in a fixed order, at most about `longest` bytes of one at a time.

    paths: files, folders (recursive, sorted by name, hidden files and folders skipped), "-" for standard input.
        Links to folders are followed, and each folder under a path is read once: under its own name rather than a
        link's, and not again by a link that leads back to a folder around it.
    field: the JSONL field or Parquet column that holds the text.
    longest: a document of more bytes is cut at line ends into documents of about `piece` bytes (default
        longest / 4), named `name#0`, `name#1`, ...; joined, they are the document again.
    without: files and folders that are left out of the folders given, such as what is being written there. A file in
        such a folder is read if it is named itself.

    Names are relative to the folder given, with forward slashes; a record adds `:LINE` (from 1) or `:ROW` (from 0).
    Raises CorpusError, naming file and line, for anything that cannot be read, and for a path that is to be left out
    itself; MissingExtra for Parquet or zst without the extra `data`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_bytes(b"one")
    ...     list(documents([folder]))
    [Document(name='a.txt', data=b'one')]
    """
    named = [str(path) for path in paths]
    left_out = {os.path.realpath(path) for path in without}
    for path in named:
        real = os.path.realpath(path)
        if path != STDIN and (
            real in left_out or (os.path.isdir(real) and any(_lies_in(real, one) for one in left_out))
        ):
            raise CorpusError(f"{path} is to be read and to be written to: name another place for what is written")
    for path in named:
        if path == STDIN:
            yield from _pieces("stdin", standard_input(), longest, piece)
            continue
        for name, file in _files(Path(path), left_out):
            for record, parts in _records(file, field):
                yield from _pieces(name + record, parts, longest, piece)


def _files(path: Path, left_out: Collection[str]) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    empty = True
    real = os.path.realpath(path)
    for name in _walk(path, "", real, [real], left_out):
        empty = False
        yield name, path / name
    if empty:
        raise CorpusError(f"{path} holds no files that are not hidden: name a folder with text in it, or a file")


def _walk(folder: Path, prefix: str, real: str, whole: list[str], left_out: Collection[str]) -> Iterator[str]:
    """real: the folder without links; whole: the folders, without links, that are walked or were."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        linked = entry.is_symlink()
        place = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
        if place in left_out or (linked and any(_lies_in(place, one) for one in left_out)):
            continue
        if os.path.isdir(place):
            if linked:
                if _lies_in(real, place) or any(_is_met(place, one) for one in whole):
                    continue
                whole.append(place)
            elif place in whole:  # a link led here before
                continue
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", place, whole, left_out)
        elif os.path.isfile(place) or not os.path.exists(place):
            # A broken link is given too, so that opening it tells of it.
            yield prefix + entry.name


def _lies_in(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)


def _is_met(place: str, folder: str) -> bool:
    """Whether walking the folder comes by the place without any link."""
    return _lies_in(place, folder) and not any(name.startswith(".") for name in place[len(folder) :].split(os.sep))


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
