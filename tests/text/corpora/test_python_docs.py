"""The topics of the interpreter's help."""

import sys

import pytest

from paribus.core.errors import CorpusError
from paribus.text.corpora.python_docs import PythonDocs


def test_a_document_is_a_topic():
    found = dict(PythonDocs().documents())
    assert "assignment" in found
    assert b"Assignment statements" in found["assignment"]


def test_an_interpreter_without_topics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="name another corpus"):
        list(PythonDocs().documents())
