"""The unit of a corpus: a name and its bytes."""

from typing import NamedTuple


class Document(NamedTuple):
    """A named run of bytes: a file, a record of a JSONL or Parquet file, or a piece of a long file.

    The name is stable over machines (relative paths with forward slashes): the split hangs on it.
    """

    name: str
    data: bytes
