"""The docstrings of Python sources: English prose wherever there is code."""

import ast
import warnings
from collections.abc import Iterator
from typing import ClassVar

from paribus.core.config import require
from paribus.text.corpora.base import Corpus
from paribus.text.document import Document


class Docstrings(Corpus):
    """A document holds the docstrings of one source file, parted by empty lines, and keeps its name.

    of: the corpus of sources; a document of it that is not Python gives none.
    shortest: bytes that a document must have; less is hardly prose.
    """

    source: ClassVar[str] = "Goodger, van Rossum, PEP 257: Docstring Conventions, 2001"

    of: Corpus
    shortest: int = 500

    def check(self) -> None:
        require(self.shortest >= 1, f"shortest = {self.shortest}: expected at least 1 byte")

    @property
    def name(self) -> str:
        return f"docstrings of {self.of.name}"

    def documents(self) -> Iterator[Document]:
        for name, data in self.of.documents():
            text = "\n\n".join(_docstrings(data)).encode("utf-8", "replace")
            if len(text) >= self.shortest:
                yield Document(name, text)


def _docstrings(data: bytes) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the source's own escapes
            tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            text := ast.get_docstring(node)
        ):
            yield text
