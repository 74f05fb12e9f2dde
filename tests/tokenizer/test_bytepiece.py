import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.config import from_dict, to_dict
from paribus.core.errors import ConfigError
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.bytepiece import BytePiece


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_the_small_model_loses_nothing(data: bytes) -> None:
    part = BytePiece()
    ids = part.encode(data)
    assert part.decode(ids) == part.decode(ids.tolist()) == data
    assert ids.size <= len(data)
    assert ids.size == 0 or int(ids.max()) < part.vocab_size <= 1024


def test_the_small_model_knows_python() -> None:
    text = b"import os\n\n\ndef main() -> None:\n    return os.path.join(self.name)\n"
    assert len(BytePiece().encode(text)) < len(text) / 2.5


def test_a_configuration_names_a_file_and_its_hash(small: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "m.bp"
    small.save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    part = BytePiece(path=str(path), sha256=sha256)
    assert from_dict(TextTokenizer, to_dict(part)) == part
    assert np.array_equal(part.encode(b"self.x"), small.encode(b"self.x"))
    other = "0" * 64
    with pytest.raises(ConfigError, match=f"has the SHA-256 {sha256}, the configuration expects {other}"):
        BytePiece(path=str(path), sha256=other).encode(b"")
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        BytePiece(sha256="x")
    with pytest.raises(ConfigError, match="cannot be opened"):
        _ = BytePiece(path=str(tmp_path / "none.bp")).vocab_size
    with pytest.raises(ConfigError, match="another tokenizer"):
        part.decode([5000])


def test_naming_a_file_reads_nothing(tmp_path: Path) -> None:
    assert BytePiece(path=str(tmp_path / "later.bp")).path.endswith("later.bp")
