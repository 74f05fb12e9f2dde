import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus import Tokenizer
from paribus.core.errors import ConfigError, CorpusError
from paribus.tokenizer import _native, shards
from paribus.tokenizer.settings import Settings

MakeTexts = Callable[[int, int, int], list[bytes]]
SETTINGS = Settings(min_count=2)


def by_shards(texts: list[bytes], n: int, folder: Path) -> Tokenizer:
    parts = [texts[i::n] for i in range(n)]
    for i, part in enumerate(parts):
        shards.count_ngrams(part, folder / f"{i}.ngrams", SETTINGS)
    shards.merge([folder / f"{i}.ngrams" for i in range(n)], folder / "all.ngrams")
    for i, part in enumerate(parts):
        shards.count_pieces(part, folder / "all.ngrams", folder / f"{i}.pieces", SETTINGS)
    shards.merge([folder / f"{i}.pieces" for i in range(n)], folder / "all.pieces")
    return shards.finish(folder / "all.ngrams", folder / "all.pieces", [400], SETTINGS)[0]


def test_shards_give_what_one_machine_gives(make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = make_texts(12, 20, 40)
    whole = Tokenizer.train(texts, vocab_size=400, min_count=2)
    for n in (1, 3):
        found = by_shards(texts, n, tmp_path)
        assert found.pieces == whole.pieces
        assert found.to_bytes() == whole.to_bytes()  # what is told of the training too


def test_counts_of_composed_and_other_text_are_told_apart(make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = ["cafe\u0301 caf\xe9 " * 20, *make_texts(12, 8, 40)]
    composed = Settings(min_count=2, nfc=True)
    for name, settings in (("plain", SETTINGS), ("nfc", composed)):
        shards.count_ngrams(texts, tmp_path / f"{name}.ngrams", settings)
        shards.count_pieces(texts, tmp_path / f"{name}.ngrams", tmp_path / f"{name}.pieces", settings)
        assert _native.describe_run(str(tmp_path / f"{name}.pieces"))["nfc"] is settings.nfc
    for kind in ("ngrams", "pieces"):
        with pytest.raises(ConfigError, match="other settings"):
            shards.merge([tmp_path / f"plain.{kind}", tmp_path / f"nfc.{kind}"], tmp_path / "x")
    for name, other in (("plain", composed), ("nfc", SETTINGS)):
        with pytest.raises(ConfigError, match="other settings"):
            shards.count_pieces(texts, tmp_path / f"{name}.ngrams", tmp_path / "x", other)
        with pytest.raises(ConfigError, match="other settings"):
            shards.finish(tmp_path / f"{name}.ngrams", tmp_path / f"{name}.pieces", [400], other)
    whole = Tokenizer.train(texts, vocab_size=400, min_count=2, nfc=True)
    found = shards.finish(tmp_path / "nfc.ngrams", tmp_path / "nfc.pieces", [400], composed)[0]
    assert found.to_bytes() == whole.to_bytes()


def test_counts_that_do_not_tell_of_composition_are_refused(make_texts: MakeTexts, tmp_path: Path) -> None:
    shards.count_ngrams(make_texts(12, 8, 40), tmp_path / "n", SETTINGS)
    data = (tmp_path / "n").read_bytes()
    assert data[8:12] == struct.pack("<I", 2)
    (tmp_path / "n").write_bytes(data[:8] + struct.pack("<I", 1) + data[12:])
    with pytest.raises(ConfigError, match="older version, which does not tell of NFC: count again"):
        shards.merge([tmp_path / "n"], tmp_path / "x")


def test_counts_of_other_settings_are_refused(make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = make_texts(12, 8, 40)
    by_shards(texts, 2, tmp_path)
    with pytest.raises(ConfigError, match="cannot merge"):
        shards.merge([tmp_path / "0.ngrams", tmp_path / "0.pieces"], tmp_path / "x")
    shards.count_ngrams(texts, tmp_path / "short.ngrams", Settings(order=4))
    with pytest.raises(ConfigError, match="other settings"):
        shards.merge([tmp_path / "0.ngrams", tmp_path / "short.ngrams"], tmp_path / "x")
    with pytest.raises(ConfigError, match=r"other settings.*must be counted with these"):
        shards.finish(tmp_path / "all.ngrams", tmp_path / "all.pieces", [400], Settings(min_count=3))
    with pytest.raises(ConfigError, match="n-grams are needed"):
        shards.finish(tmp_path / "all.pieces", tmp_path / "all.pieces", [400], SETTINGS)
    with pytest.raises(CorpusError, match="empty"):
        shards.count_ngrams([], tmp_path / "none", SETTINGS)
    with pytest.raises(ConfigError, match="nothing to merge"):
        shards.merge([], tmp_path / "x")
