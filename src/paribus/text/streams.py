"""Bytes of a file in chunks, whatever compressed it: plain, gzip, Zstandard, standard input."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from paribus.core.errors import CorpusError, optional

CHUNK = 1 << 20  # bytes read at a time


def chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed if its name ends in .gz or .zst, about 1 MiB at a time.

    Raises CorpusError, naming the file, for one that cannot be read or is damaged; MissingExtra for .zst without
    the extra `data`.
    """
    try:
        if path.suffix in (".gz", ".zst") and path.is_file() and path.stat().st_size == 0:
            raise CorpusError(f"{path} has 0 bytes, where a compressed file has a header: fetch or write it again")
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as stream:
                yield from _read(stream)
        elif path.suffix == ".zst":
            with path.open("rb") as stream:
                yield from _unzstd(stream, path)
        else:
            with path.open("rb") as stream:
                yield from _read(stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{path} is not a whole gzip file ({error}): check it with `gzip -t`, then fetch or write it again"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> CorpusError:
    """The error for a file that the system refuses to read."""
    reason = error.strerror or str(error)
    return CorpusError(f"cannot read {path}: {reason}; check that it exists and that you may read it, or leave it out")


def standard_input() -> Iterator[bytes]:
    """The bytes of standard input, about 1 MiB at a time."""
    return _read(sys.stdin.buffer)


def lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a stream of chunks, without their ends."""
    held: list[bytes] = []
    for part in parts:
        first, *rest = part.split(b"\n")
        held.append(first)
        if rest:
            yield b"".join(held)
            yield from rest[:-1]
            held = [rest[-1]]
    if last := b"".join(held):
        yield last


def _read(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _unzstd(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    zstandard = optional("zstandard", "data")
    frame = None
    try:
        while data := stream.read(CHUNK // 8):
            while data:  # a file may hold several frames, one after the other
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                if plain := frame.decompress(data):
                    yield plain
                data = b""
                if frame.eof:
                    data, frame = frame.unused_data, None
    except zstandard.ZstdError as error:
        raise _bad_zst(path, str(error)) from error
    if frame is not None:  # the decompressor itself is silent about a missing end
        raise _bad_zst(path, "it ends in the middle of a frame")


def _bad_zst(path: Path, reason: str) -> CorpusError:
    return CorpusError(
        f"{path} is not a whole Zstandard file ({reason}): check it with `zstd -t`, then fetch or write it again"
    )
