"""Any folder or file of the user's."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from paribus.core.config import require
from paribus.text.corpora.base import Corpus
from paribus.text.document import Document
from paribus.text.readers import STDIN, documents

LONGEST = 64 << 10  # bytes
PIECE = 16 << 10  # bytes


class Folder(Corpus):
    """The documents of a folder or of one file: text, JSONL, Parquet, and gz or zst of any of them.

    path: the folder or file; a relative one is taken from the current folder.
    field: the JSONL field or Parquet column that holds the text.

    A document over 64 KiB is cut at line ends into documents of about 16 KiB, so that one file has a train, a dev
    and a test part. Names are relative to the folder, so a moved folder is the same corpus.
    """

    source: ClassVar[str] = ""
    path: str
    field: str = "text"

    def check(self) -> None:
        require(bool(self.path), "Folder.path is empty: name a folder or a file")
        require(
            self.path != STDIN,
            "a corpus is read again when a run resumes, and standard input cannot be: save it to a file",
        )

    @property
    def name(self) -> str:
        return self.path

    def documents(self) -> Iterator[Document]:
        return documents([Path(self.path)], field=self.field, longest=LONGEST, piece=PIECE)


Folder.examples = (Folder(path="."),)
