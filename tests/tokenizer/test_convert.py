"""Interchange. The fixtures were made by bytepiece 0.6.3 from files of CPython 3.11.7's standard library: a model of
700 tokens, and what the original's own `encode` gives for a list of texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.errors import ConfigError
from paribus.tokenizer import _native
from paribus.tokenizer.convert import byte_letters, hugging_face, read_bytepiece, write_bytepiece, write_hugging_face
from paribus.tokenizer.vocabulary import Vocabulary

FIXTURES = Path(__file__).parent / "fixtures"
MODEL = FIXTURES / "bytepiece-0.6.3.json"


@pytest.fixture(scope="module")
def original() -> Tokenizer:
    return read_bytepiece(MODEL)


def test_an_original_model_gives_the_originals_tokens(original: Tokenizer) -> None:
    cases = json.loads((FIXTURES / "bytepiece-0.6.3-tokens.json").read_text())
    assert len(cases) > 50
    for text, ids in cases:
        assert original.encode(text).tolist() == ids


def test_original_models_go_there_and_back(original: Tokenizer, tmp_path: Path) -> None:
    write_bytepiece(original, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == MODEL.read_text()
    original.save(tmp_path / "m.bp")
    assert Tokenizer.load(tmp_path / "m.bp").nfc


def test_our_models_are_written_for_the_original(small: Tokenizer, tmp_path: Path) -> None:
    write_bytepiece(small, tmp_path / "small.json")
    again = read_bytepiece(tmp_path / "small.json")
    assert again.pieces == small.pieces
    assert np.allclose(again.vocabulary.scores, small.vocabulary.scores, rtol=1e-15, atol=1e-15)
    with pytest.raises(ConfigError, match="special tokens"):
        write_bytepiece(small.with_specials(["<user>"]), tmp_path / "more.json")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{", b'{"YQ==": 5}', b'{"YQ==": [4, "a", 1]}', b'{"!": [3, "a", 1]}', b"\xff\xfe"]
)
def test_foreign_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(ConfigError, match="expected the JSON of a bytepiece model"):
        read_bytepiece(tmp_path / "m.json")


def test_an_original_without_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"YQ==": [3, "a", 1]}')
    with pytest.raises(ConfigError, match="single bytes"):
        read_bytepiece(tmp_path / "m.json")


def viterbi(vocab: list[tuple[str, float]], text: str) -> list[int]:
    """What the Hugging Face engine does with a Unigram model, spelled out over letters."""
    ids = {word: i for i, (word, _) in enumerate(vocab)}
    longest = max(map(len, ids))
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]
    for end in range(1, len(text) + 1):
        options = [
            (best[start][0] + vocab[ids[text[start:end]]][1], -start, ids[text[start:end]])
            for start in range(max(0, end - longest), end)
            if text[start:end] in ids
        ]
        score, start, i = max(options, key=lambda option: option[:2])
        best.append((score, -start, i))
    out, end = [], len(text)
    while end:
        out.append(best[end][2])
        end = best[end][1]
    return out[::-1]


@settings(deadline=None)
@given(st.text("import self\n()的é<pad>", max_size=60))
def test_the_hugging_face_vocabulary_gives_the_same_tokens(small: Tokenizer, text: str) -> None:
    letters = byte_letters()
    content: Any = hugging_face(small)
    vocab = [(word, score) for word, score in content["model"]["vocab"]]
    lines = [line for line in text.encode().splitlines(keepends=True) if b"\r" not in line]
    for line in lines:
        if line != b"\n":
            assert viterbi(vocab, "".join(letters[b] for b in line)) == small.encode(line).tolist()


def test_hugging_face_files(small: Tokenizer, tmp_path: Path) -> None:
    write_hugging_face(small, tmp_path / "tokenizer.json")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    assert len(content["model"]["vocab"]) == small.vocab_size
    assert content["normalizer"] is None
    assert sorted(byte_letters()) == sorted(set(byte_letters()))
    assert byte_letters()[ord("a")] == "a"
    assert byte_letters()[0x20] == "Ġ"
    engine = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("import os\n\n\ndef f(self):\n    return 的", "", "\n", "<pad>", "a" * 300):
        assert engine.encode(text).ids == small.encode(text).tolist()
        assert engine.decode(small.encode(text).tolist(), skip_special_tokens=False) == text


def test_a_special_token_that_spells_a_piece_is_refused() -> None:
    pieces = [bytes([b]) for b in range(256)] + [b""]
    scores, counts = np.full(257, -2.0), np.ones(257, dtype=np.uint64)
    own = Tokenizer.from_vocabulary(Vocabulary(pieces, scores, counts, specials={"a": 256}))
    with pytest.raises(ConfigError, match="'a' has the spelling of a piece"):
        hugging_face(own)


def test_a_token_with_neither_piece_nor_name_is_refused(tmp_path: Path) -> None:
    """Models could once be made with one."""
    pieces = [b"", *(bytes([b]) for b in range(256))]
    meta = json.dumps({"schema": "paribus.bytepiece/1", "nfc": False, "specials": {}, "training": {}}).encode()
    counts = np.ones(len(pieces), dtype=np.uint64)
    file = _native.serialize(pieces, np.full(len(pieces), -1.0), counts, 0.0, meta)
    own = Tokenizer(_native.Model.from_bytes(file))
    with pytest.raises(ConfigError, match="token 0 of the model has neither piece nor name"):
        write_hugging_face(own, tmp_path / "tokenizer.json")
    assert not list(tmp_path.iterdir())
