"""Files that hold many documents: JSON lines and Parquet columns."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paribus.core.errors import CorpusError, nearest, optional
from paribus.text.streams import chunks, lines, unreadable

ROWS = 256  # Parquet rows decoded at a time
BUFFER = 1 << 20  # bytes of a column that are read at a time


def json_lines(path: Path, field: str) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, UTF-8 of the text in `field`) of every line that is not blank."""
    for number, line in enumerate(lines(chunks(path)), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(
                f"{path} line {number}: not JSON ({error}); each line must be one object like "
                f'{{"{field}": "..."}}: mend or remove the line'
            ) from error
        if not isinstance(record, dict):
            raise CorpusError(
                f"{path} line {number}: expected an object with a field {field!r}, got {_kind(record)}; mend it"
            )
        if field not in record:
            raise CorpusError(
                f"{path} line {number}: no field {field!r}; name the one that holds the text: {nearest(field, record)}"
            )
        yield number, _text(record[field], f"{path} line {number}: field {field!r}")


def parquet(path: Path, field: str) -> Iterator[tuple[int, bytes]]:
    """(row number from 0, bytes of the text in column `field`) of every row; a compressed file is unpacked first."""
    try:
        if path.suffix in (".gz", ".zst"):
            with tempfile.TemporaryFile() as unpacked:  # Parquet is read from its end: it needs a file to seek in
                for chunk in chunks(path):
                    unpacked.write(chunk)
                unpacked.seek(0)
                yield from _rows(path, unpacked, field)
        else:
            with path.open("rb") as stream:
                yield from _rows(path, stream, field)
    except OSError as error:
        raise unreadable(path, error) from error


def _rows(path: Path, stream: Any, field: str) -> Iterator[tuple[int, bytes]]:
    pyarrow, reader = optional("pyarrow", "data"), optional("pyarrow.parquet", "data")
    row = 0
    try:
        # Read piece by piece: by default the whole column of a row group would be held, as it is stored.
        table = reader.ParquetFile(stream, pre_buffer=False, buffer_size=BUFFER)
        columns = table.schema_arrow.names
        if field not in columns:
            raise CorpusError(
                f"{path}: no column {field!r}; name the one that holds the text: {nearest(field, columns)}"
            )
        for batch in table.iter_batches(batch_size=ROWS, columns=[field]):
            for value in batch.column(0).to_pylist():
                yield row, _text(value, f"{path} row {row}: column {field!r}")
                row += 1
    except pyarrow.ArrowException as error:
        raise CorpusError(
            f"{path} cannot be read as Parquet at row {row} ({error}); fetch or write the file again"
        ) from error


def _text(value: Any, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise CorpusError(f"{where} holds {_kind(value)}, expected text; mend or remove the record")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where} has no UTF-8 form ({error}); mend or remove the record") from error


def _kind(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
