"""Copying: the second run is the first one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.data import IGNORED, Copy


@given(st.integers(3, 30), st.integers(2, 41), st.integers(0, 99))
def test_an_oracle_that_looks_back_is_always_right(vocab_size, length, step):
    batch = Copy(vocab_size=vocab_size).prepare().batches(0, 4, length).batch(step)
    n = length // 2
    said = np.full(batch.tokens.shape, -1)
    said[:, n : 2 * n] = batch.tokens[:, :n]
    asked = batch.targets != IGNORED
    np.testing.assert_array_equal(asked, np.tile((np.arange(length) >= n) & (np.arange(length) < 2 * n), (4, 1)))
    np.testing.assert_array_equal(said[asked], batch.targets[asked])
    assert (batch.tokens[:, n] == vocab_size - 1).all()
    assert batch.tokens[:, :n].max() < vocab_size - 1
    np.testing.assert_array_equal(batch.tokens[:, n + 1 : 2 * n], batch.targets[:, n : 2 * n - 1])


def test_all_symbols_are_equally_likely():
    targets = Copy(vocab_size=6).prepare().windows("test", 2000, 20).targets
    counts = np.bincount(targets[targets != IGNORED], minlength=6)
    assert counts[5] == 0
    assert (np.abs(counts[:5] - 4000) < 5 * np.sqrt(4000)).all()


def test_the_draw_is_pinned():
    """Stored results hang on these numbers: raise the revision when they change."""
    assert Copy(vocab_size=9).prepare().batches(3, 1, 8).batch(4).tokens.tolist() == [[3, 7, 7, 0, 8, 3, 7, 7]]


def test_impossible_tasks():
    with pytest.raises(ConfigError, match="at least 3"):
        Copy(vocab_size=2)
    with pytest.raises(ConfigError, match="length of at least 2"):
        Copy().prepare().batches(0, 4, 1)
