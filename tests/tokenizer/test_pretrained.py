"""The class for transformers, held against our own tokenizer and against Hugging Face's engine."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.errors import ConfigError, InputError, MissingExtra
from paribus.tokenizer import pretrained
from paribus.tokenizer.pretrained import character_offsets
from paribus.tokenizer.vocabulary import Vocabulary

TEXTS = ["import os\n\n\ndef f(self):\n    return 的é👩", "", "x", "self.x = 12\r\n", "a" * 300]
MIXED = st.text("import self\n()的é👩<>", max_size=60)


@settings(deadline=None)
@given(st.text(max_size=30), st.data())
def test_offsets_are_the_characters_that_bytes_belong_to(text: str, data: st.DataObject) -> None:
    left, lengths = len(text.encode()), []
    while left:
        lengths.append(data.draw(st.integers(1, left)))
        left -= lengths[-1]
    found = character_offsets(text, lengths)
    assert len(found) == len(lengths)
    position = 0
    for (first, behind), size in zip(found, lengths, strict=True):
        part = text.encode()[position : position + size]
        assert part in text[first:behind].encode()
        assert not first + 1 < behind or part not in text[first + 1 : behind].encode() or len(set(text)) < len(text)
        position += size
    if found:
        assert (found[0][0], found[-1][1]) == (0, len(text))


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    pretrained._made.cache_clear()
    with pytest.raises(MissingExtra, match=r"paribus\[transformers\]"):
        _ = pretrained.BytePieceTokenizer
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = pretrained.Other


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture
def tokenizer(transformers: Any, small: Tokenizer, tmp_path: Path) -> Any:
    small.save(tmp_path / "small.bp")
    return pretrained.BytePieceTokenizer(str(tmp_path / "small.bp"))


def test_tokens_are_our_own(tokenizer: Any, small: Tokenizer) -> None:
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids == small.encode(text).tolist()
        assert tokenizer.decode(ids) == text
        assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) == ids
    assert tokenizer.batch_decode(tokenizer(TEXTS)["input_ids"]) == TEXTS
    assert len(tokenizer) == tokenizer.vocab_size == small.vocab_size
    assert tokenizer.get_vocab()["Ġ"] == small.id_of(b" ")
    assert tokenizer.decode(small.encode(b"\xe7\x9a").tolist()) == "�"


def test_special_tokens(tokenizer: Any, small: Tokenizer) -> None:
    eos = small.id_of("<eos>")
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, eos)
    assert tokenizer("x<eos>")["input_ids"] == [*small.encode("x").tolist(), eos]
    assert tokenizer("x<eos>", split_special_tokens=True)["input_ids"] == small.encode("x<eos>").tolist()
    ids = tokenizer("x<eos>y")["input_ids"]
    assert tokenizer.decode(ids) == "x<eos>y"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "xy"
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<user>"]}) == 1
    assert tokenizer("<user>x")["input_ids"] == [small.vocab_size, *small.encode("x").tolist()]
    assert len(tokenizer) == small.vocab_size + 1


def test_padding_truncation_and_arrays(tokenizer: Any, small: Tokenizer) -> None:
    found = tokenizer(["import os", "x"], padding=True, return_tensors="np")
    n = len(small.encode("import os"))
    assert found["input_ids"].shape == found["attention_mask"].shape == (2, n)
    assert found["attention_mask"].sum(axis=1).tolist() == [n, 1]
    assert found["input_ids"][1, 1:].tolist() == [0] * (n - 1)
    long = "import os\nimport sys\n" * 9
    for side in ("right", "left"):
        tokenizer.truncation_side = side
        kept = tokenizer(long, truncation=True, max_length=7, return_offsets_mapping=True)
        ids = small.encode(long).tolist()
        assert kept["input_ids"] == (ids[:7] if side == "right" else ids[-7:])
        pieces = [small.pieces[i].decode() for i in kept["input_ids"]]
        assert [long[a:b] for a, b in kept["offset_mapping"]] == pieces


def test_offsets_beside_special_tokens_and_padding(transformers: Any, small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "m.bp")
    tokenizer = pretrained.BytePieceTokenizer(
        str(tmp_path / "m.bp"), add_bos_token=True, add_eos_token=True, padding_side="left"
    )
    found = tokenizer(["import 的<pad>x", "x"], padding=True, return_offsets_mapping=True, return_tensors="np")
    ids, offsets = found["input_ids"], found["offset_mapping"]
    assert offsets.shape == (*ids.shape, 2)
    assert ids[:, -1].tolist() == [2, 2]
    assert ids[1].tolist() == [0] * (ids.shape[1] - 3) + [1, small.id_of(b"x"), 2]
    assert offsets[1].tolist() == [[0, 0]] * (ids.shape[1] - 2) + [[0, 1], [0, 0]]
    assert offsets[0, 0].tolist() == offsets[0, -1].tolist() == [0, 0]
    assert offsets[0, -3].tolist() == [8, 13]
    assert offsets[0, -2].tolist() == [13, 14]
    with pytest.raises(InputError, match="not for pairs"):
        tokenizer("a", "b", return_offsets_mapping=True)


def test_folders(transformers: Any, tokenizer: Any, small: Tokenizer, tmp_path: Path) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>"]})
    tokenizer.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} >= {"tokenizer.bp", "tokenizer.json"}
    own = type(tokenizer).from_pretrained(tmp_path / "saved")
    engine = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert engine.is_fast
    pretrained.register()
    pretrained.register()
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert type(auto) is type(own) is type(tokenizer)
    again = pickle.loads(pickle.dumps(tokenizer))
    for text in [*TEXTS, "x<user>y<eos>"]:
        expected = tokenizer(text)["input_ids"]
        assert own(text)["input_ids"] == auto(text)["input_ids"] == again(text)["input_ids"] == expected
        assert engine(text)["input_ids"] == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=MIXED)
def test_offsets_are_those_of_hugging_faces_engine(tokenizer: Any, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "engine"
    if not folder.exists():
        tokenizer.save_pretrained(folder)
    engine = __import__("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = tokenizer(text, return_offsets_mapping=True)
    expected = engine.encode(text)
    if not any(name in text for name in ("<pad>", "<bos>", "<eos>")):
        assert found["input_ids"] == expected.ids
        assert [tuple(one) for one in found["offset_mapping"]] == expected.offsets


def test_what_cannot_be(transformers: Any, tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no token of this vocabulary"):
        tokenizer.convert_tokens_to_ids("的的的")
    with pytest.raises(ConfigError, match="not in the vocabulary"):
        tokenizer.decode([99999])
    pieces = [bytes([b]) for b in range(256)] + [b""]
    own = Vocabulary(pieces, np.full(257, -2.0), np.ones(257, dtype=np.uint64), specials={"a": 256})
    Tokenizer.from_vocabulary(own).save(tmp_path / "bad.bp")
    with pytest.raises(ConfigError, match="'a' has the spelling of a piece"):
        type(tokenizer)(str(tmp_path / "bad.bp"))
