"""Long natural texts that every machine with Python has: its documentation as one text, and long sources with prose.

A text that is scored at its end needs a beginning that belongs to it: so topics are joined as they follow one another,
and a source is taken whole.
"""

from collections.abc import Iterable

from paribus.core.errors import CorpusError, nearest
from paribus.text.corpora.python_docs import PythonDocs
from paribus.text.corpora.python_stdlib import PythonStdlib

DOCS = "python-docs"  # the word for the documentation; every other name is a file of the standard library


def long_text(name: str) -> bytes:
    """`python-docs`, or a file of the standard library such as `doctest.py`. Raises CorpusError for any other name."""
    if name == DOCS:
        return _each_paragraph_once(one.data for one in PythonDocs().documents())
    names = []
    for document in PythonStdlib().documents():
        if document.name == name:
            return document.data
        names.append(document.name)
    raise CorpusError(f"no text {name!r} in this interpreter's library; {nearest(name, [DOCS, *names])}")


def _each_paragraph_once(documents: Iterable[bytes]) -> bytes:
    """Topics repeat one another's paragraphs, and a text that says everything twice is easy to read."""
    seen: set[bytes] = set()
    kept = []
    for paragraph in b"\n\n".join(documents).split(b"\n\n"):
        if paragraph.strip() and paragraph not in seen:
            seen.add(paragraph)
            kept.append(paragraph)
    return b"\n\n".join(kept)
