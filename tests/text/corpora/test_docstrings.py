"""Prose out of sources."""

from pathlib import Path

import pytest

from paribus.core.errors import ConfigError
from paribus.text.corpora import Docstrings, Folder

MODULE = '"""Of the module."""\n\nclass A:\n    """Of A."""\n    def f(self):\n        "Of f."\n        return "\\d"\n'


def test_docstrings_by_file(tmp_path: Path) -> None:
    files = {"a.py": MODULE, "b.py": "def f(:", "c.txt": "Only text, no Python.", "d.py": '"""Short."""'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    corpus = Docstrings(of=Folder(path=str(tmp_path)), shortest=10)
    assert list(corpus.documents()) == [("a.py", b"Of the module.\n\nOf A.\n\nOf f.")]
    assert corpus.name == f"docstrings of {tmp_path}"
    assert [name for name, _ in Docstrings(of=corpus.of, shortest=1).documents()] == ["a.py", "d.py"]
    with pytest.raises(ConfigError, match="at least 1 byte"):
        Docstrings(of=corpus.of, shortest=0)
