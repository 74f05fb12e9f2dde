import pytest

from paribus.core.errors import CorpusError
from paribus.text.long_texts import DOCS, long_text


def test_the_documentation_says_nothing_twice():
    text = long_text(DOCS)
    paragraphs = text.split(b"\n\n")
    assert len(paragraphs) == len(set(paragraphs))
    assert len(text) > 2**18


def test_a_source_is_taken_whole():
    import difflib
    from pathlib import Path

    assert long_text("difflib.py") == Path(difflib.__file__).read_bytes()


def test_a_name_that_is_none():
    with pytest.raises(CorpusError, match=r"no text 'docktest\.py' .* did you mean doctest\.py"):
        long_text("docktest.py")
