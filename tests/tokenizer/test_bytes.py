"""Bytes: the identity, for all bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.config import from_dict, to_dict
from paribus.core.errors import ConfigError
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.bytes import Bytes


@given(st.binary(max_size=300))
def test_an_id_is_a_byte_and_nothing_is_lost(data):
    ids = Bytes().encode(data)
    assert ids.tolist() == list(data)
    assert Bytes().decode(ids) == data
    assert Bytes().decode(ids.tolist()) == data


def test_all_ids_are_below_the_vocabulary_size():
    assert Bytes().encode(bytes(range(256))).max() == Bytes().vocab_size - 1


@pytest.mark.parametrize("ids", [[256], [-1], [0.5], np.array([3, 1000])])
def test_ids_of_another_tokenizer_are_refused(ids):
    with pytest.raises(ConfigError, match="another tokenizer"):
        Bytes().decode(ids)


def test_it_is_found_by_its_name():
    assert from_dict(TextTokenizer, to_dict(Bytes())) == Bytes()
