"""Model files that are not what they should be."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.errors import ConfigError
from paribus.tokenizer import _native
from paribus.tokenizer.vocabulary import Vocabulary, load

SINGLES = [bytes([b]) for b in range(256)]


def vocabulary(pieces: list[bytes], score: float = -1.0) -> Vocabulary:
    return Vocabulary(pieces, np.full(len(pieces), score), np.ones(len(pieces), dtype=np.uint64), specials={})


@pytest.mark.parametrize(
    ("pieces", "score", "words"),
    [
        (SINGLES[1:], -1.0, "single bytes"),
        ([*SINGLES, b"ab", b"ab"], -1.0, "comes twice"),
        (SINGLES, float("nan"), "finite"),
        (SINGLES, float("-inf"), "finite"),
    ],
)
def test_no_vocabulary(pieces: list[bytes], score: float, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        vocabulary(pieces, score).model()


def test_every_id_is_a_piece_or_has_a_name() -> None:
    for pieces, specials in (([b"", *SINGLES], {}), ([b"", *SINGLES], {"<a>": 0, "<b>": 0}), (SINGLES, {"<a>": 7})):
        own = Vocabulary(pieces, np.full(len(pieces), -1.0), np.ones(len(pieces), dtype=np.uint64), specials=specials)
        with pytest.raises(ConfigError, match="each of these ids needs one name"):
            own.model()


def test_the_smallest_vocabulary() -> None:
    own = Tokenizer.from_vocabulary(vocabulary(SINGLES))
    assert own.encode(bytes(range(256))).tolist() == list(range(256))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        load(tmp_path / "none.bp")
    with pytest.raises(ConfigError, match="too short"):
        load(tmp_path)


def test_every_truncation_is_found(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "whole.bp")
    data = (tmp_path / "whole.bp").read_bytes()
    for size in [*range(0, 200, 7), len(data) // 2, len(data) - 1]:
        (tmp_path / "cut.bp").write_bytes(data[:size])
        with pytest.raises(ConfigError, match=r"truncated|too short"):
            load(tmp_path / "cut.bp")
    (tmp_path / "long.bp").write_bytes(data + b"\0")
    with pytest.raises(ConfigError, match="grown"):
        load(tmp_path / "long.bp")


def test_foreign_and_future_files(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "whole.bp")
    data = (tmp_path / "whole.bp").read_bytes()
    (tmp_path / "foreign.bp").write_bytes(b"\x89PNG\r\n\x1a\n" + data[8:])
    with pytest.raises(ConfigError, match="not a BytePiece model"):
        load(tmp_path / "foreign.bp")
    (tmp_path / "future.bp").write_bytes(data[:8] + struct.pack("<I", 2) + data[12:])
    with pytest.raises(ConfigError, match="format version 2, this program reads 1"):
        load(tmp_path / "future.bp")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found(small: Tokenizer, data: st.DataObject) -> None:
    whole = bytearray(small._model.to_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(_native.FormatError):
        _native.Model.from_bytes(bytes(whole))
