import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.tokenizer.convert import write_hugging_face
from paribus.tokenizer.decimals import decimal, quick


@given(st.floats(-40, 40))
def test_every_decimal_is_its_double(value: float) -> None:
    text = decimal(value)
    assert float(text) == value
    if "e" not in text:
        assert quick(text) == pytest.approx(value, rel=2.3e-16, abs=0)


def test_the_quick_reader_misses_few() -> None:
    rng = random.Random(1)
    values = [-rng.uniform(1, 20) for _ in range(2000)]
    assert sum(quick(repr(value)) != value for value in values) > 200  # which is why this exists
    assert sum(quick(decimal(value)) != value for value in values) < 10


def test_hugging_faces_engine_reads_our_scores(small: Tokenizer, tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    write_hugging_face(small, tmp_path / "tokenizer.json")
    engine = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    read = [score for _, score in json.loads(engine.to_str())["model"]["vocab"]]
    ours = small.vocabulary.scores.tolist()
    differ = [(a, b) for a, b in zip(read[3:], ours[3:]) if a != b]
    assert len(differ) <= 1  # -7.4781704085122565 has no decimal that it would read
    assert all(quick(repr(b)) == a for a, b in differ)
