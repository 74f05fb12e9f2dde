"""Tokenizers that their configuration teaches: one contract for every member."""

from pathlib import Path

import platformdirs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, CorpusError, MissingExtra
from paribus.text.corpora import Folder
from paribus.text.prepare import prepare
from paribus.tokenizer import learned
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.byte_pairs import BytePairs
from paribus.tokenizer.learned import Learned
from paribus.tokenizer.learned_bytepiece import LearnedBytePiece
from paribus.tokenizer.unigram import Unigram
from paribus.tokenizer.words import stretches

WORDS = ["the", "of", "naïve", "的", "import", "return", "self", "12", "x = y", "(a, b)", "\n", "\n\n\t"]
ALL = [LearnedBytePiece, BytePairs, Unigram]


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tokenizers")
    texts = tmp_path_factory.mktemp("texts")
    for i in range(60):
        (texts / f"{i}.txt").write_text(" ".join(WORDS[(i * k + k * k) % len(WORDS)] for k in range(120)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_path", lambda _: texts.parent / "cache")
        yield texts


@pytest.fixture(params=[(cls, borders) for cls in ALL for borders in (False, True)], ids=str)
def part(request: pytest.FixtureRequest, folder: Path) -> Learned:
    cls, borders = request.param
    return cls(corpus=Folder(path=str(folder)), size=300, borders=borders)


def test_every_member_is_tried() -> None:
    assert {cls for cls in members(TextTokenizer) if issubclass(cls, Learned)} == set(ALL)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=100), st.text("the 的\n12", max_size=60).map(str.encode)))
def test_nothing_is_lost(part: Learned, data: bytes) -> None:
    ids = part.encode(data)
    assert part.decode(ids) == part.decode(ids.tolist()) == data
    assert len(ids) <= len(data)
    assert not len(ids) or int(ids.max()) < part.vocab_size == part.size


def test_tokens_hold_more_than_a_byte_and_keep_to_borders(part: Learned) -> None:
    text = b"".join(learned.documents(prepare(part.corpus), "train"))
    ids = part.encode(text)
    if not (part.borders and isinstance(part, Unigram)):  # its seeds are shared by several words: here are none
        assert len(ids) < 0.9 * len(text)
    if part.borders:
        tokens = [part.decode([i]) for i in ids]
        alone = [part.decode([i]) for word in stretches(text, borders=True) for i in part.encode(word)]
        assert tokens == alone


def test_it_is_its_configuration(part: Learned) -> None:
    assert from_dict(TextTokenizer, to_dict(part)) == part


def test_it_is_learned_once_and_alike(part: Learned, monkeypatch: pytest.MonkeyPatch) -> None:
    before = part.encode(b"import the self\n").tolist()
    prepared = prepare(part.corpus)
    texts = learned.documents(prepared, "train")
    if not isinstance(part, Unigram):  # whose engine adds in any order
        assert part.learn(texts) == part.learn(texts)
    learned._engine.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(type(part), "learn", lambda *_: pytest.fail("it was learned before"))
        assert part.encode(b"import the self\n").tolist() == before


def test_only_the_train_split_is_learned_and_no_more_than_the_limit(folder: Path) -> None:
    prepared = prepare(Folder(path=str(folder)))
    texts = learned.documents(prepared, "train")
    data = prepared.split("train").tobytes()
    assert b"".join(text + b"\xff" for text in texts) == data
    cut = learned.documents(prepared, "train", 1000)
    assert b"".join(cut) == b"".join(texts)[:1000]
    assert len(learned.documents(prepared, "test")) > 0


def test_bad_values(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Folder(path=str(folder))
    with pytest.raises(ConfigError, match="at least 256"):
        BytePairs(corpus=corpus, size=255)
    with pytest.raises(ConfigError, match="limit = 0"):
        Unigram(corpus=corpus, size=256, limit=0)
    with pytest.raises(ConfigError, match="min_count = 0"):
        LearnedBytePiece(corpus=corpus, size=256, min_count=0)
    with pytest.raises(ConfigError, match=r"expected \[0, 300\)"):
        BytePairs(corpus=corpus, size=300).decode([300])
    with pytest.raises(ConfigError, match="another tokenizer"):
        LearnedBytePiece(corpus=corpus, size=300).decode([5000])
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match=r"paribus\[peers\]"):
        BytePairs(corpus=corpus, size=301).encode(b"a")
    (folder.parent / "file").write_text("")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: folder.parent / "file")
    with pytest.raises(CorpusError, match="cannot"):
        BytePairs(corpus=corpus, size=302).encode(b"a")
