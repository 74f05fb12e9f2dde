"""Corpora: named collections of documents, and the word that names one on a command line."""

import os
import re

from paribus.core.config import part_name
from paribus.core.discovery import members
from paribus.core.errors import CorpusError, nearest
from paribus.text.corpora.base import Corpus as Corpus
from paribus.text.corpora.docstrings import Docstrings as Docstrings
from paribus.text.corpora.english import English as English
from paribus.text.corpora.folder import Folder as Folder
from paribus.text.corpora.python_docs import PythonDocs as PythonDocs
from paribus.text.corpora.python_stdlib import PythonStdlib as PythonStdlib

Docstrings.examples = (Docstrings(of=PythonStdlib()),)


def corpus_from_word(word: str, field: str = "text") -> Corpus:
    """The corpus that a command line means: `python-stdlib`, `python-docs`, `english`, or a path of the user's.

    A name comes first: write ./english for a folder of that name. `field` is for JSONL and Parquet at a path.
    Raises CorpusError with the nearest names for a word that is neither.

    >>> corpus_from_word("python-docs").name
    'python-docs'
    """
    named = {kebab(part_name(cls)): cls for cls in members(Corpus) if cls not in (Docstrings, Folder)}
    if word in named:
        built_in: Corpus = named[word]()
        return built_in
    path = os.path.expanduser(word)
    if os.path.exists(path):
        return Folder(path=path, field=field)
    raise CorpusError(
        f"unknown corpus {word!r}: it is no file or folder here, and no corpus has that name; {nearest(word, named)}"
    )


def kebab(name: str) -> str:
    """`PythonStdlib` -> `python-stdlib`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
