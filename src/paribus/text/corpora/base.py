"""The contract of a corpus: documents with stable names, always the same and in the same order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from paribus.core.config import Part
from paribus.text.document import Document


class Corpus(Part, ABC):
    """A collection of documents. Reading it twice gives the same documents; names are unique and stable.

    depends_on_python: whether the texts belong to the running interpreter, whose version the manifest then names.
    """

    depends_on_python: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The word for it on a command line and in a report."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """Every document once, streamed. Raises CorpusError for what cannot be read."""
