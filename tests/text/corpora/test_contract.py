"""What every corpus keeps."""

import pytest

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import CorpusError
from paribus.text.corpora import Corpus, Docstrings, Folder, corpus_from_word, kebab

EXAMPLES = [example for cls in members(Corpus) for example in cls.examples]


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Corpus))


@pytest.mark.parametrize("corpus", EXAMPLES, ids=str)
def test_it_is_its_configuration(corpus):
    assert from_dict(Corpus, to_dict(corpus)) == corpus
    assert isinstance(type(corpus).source, str)
    assert isinstance(corpus.name, str)


@pytest.mark.parametrize("corpus", [one for one in EXAMPLES if not isinstance(one, (Docstrings, Folder))], ids=str)
def test_a_built_in_one_is_named_by_its_word(corpus):
    assert corpus_from_word(corpus.name) == corpus


@pytest.mark.parametrize("corpus", [one for one in EXAMPLES if one.depends_on_python], ids=str)
def test_documents_are_named_and_always_the_same(corpus):
    first, again = list(corpus.documents()), list(corpus.documents())
    assert first == again
    assert len({one.name for one in first}) == len(first) > 0
    assert all(isinstance(one.data, bytes) and one.data for one in first)


def test_a_path_is_a_folder_and_an_unknown_word_names_the_nearest(tmp_path):
    assert corpus_from_word(str(tmp_path), field="body") == Folder(path=str(tmp_path), field="body")
    with pytest.raises(CorpusError, match=r"unknown corpus 'pyton-stdlib'.*did you mean python-stdlib"):
        corpus_from_word("pyton-stdlib")
    with pytest.raises(CorpusError, match="known: english, python-docs, python-stdlib"):
        corpus_from_word("/no/such/place")


def test_a_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "python-docs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert type(corpus_from_word("python-docs")) is not Folder
    assert corpus_from_word("./python-docs") == Folder(path="./python-docs")


def test_kebab():
    assert [kebab(word) for word in ("PythonStdlib", "English", "C4Part")] == ["python-stdlib", "english", "c4-part"]
