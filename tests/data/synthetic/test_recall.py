"""Multi-query recall: solvable by looking up, and by nothing less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.data import IGNORED, MultiQueryRecall
from paribus.data.distinct import distinct


def answer(tokens: np.ndarray, pairs: int) -> np.ndarray:
    """The oracle: at every position, the value listed for that token, or -1."""
    said = np.full(tokens.shape, -1)
    for row, line in enumerate(tokens):
        listed = dict(zip(line[0 : 2 * pairs : 2].tolist(), line[1 : 2 * pairs : 2].tolist()))
        said[row] = [listed.get(token, -1) for token in line.tolist()]
    return said


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 40), st.sampled_from([0.01, 0.5, 1.0]), st.integers(0, 99))
def test_an_oracle_that_looks_keys_up_is_always_right(pairs, more_keys, more_length, power, step):
    task = MultiQueryRecall(vocab_size=2 * (pairs + 1) + more_keys, pairs=pairs, power=power)
    batch = task.prepare().batches(0, 5, 4 * pairs + more_length).batch(step)
    asked = batch.targets != IGNORED
    np.testing.assert_array_equal(answer(batch.tokens, pairs)[asked], batch.targets[asked])
    half = task.vocab_size // 2
    for tokens, targets, where in zip(batch.tokens, batch.targets, asked):
        keys, values = tokens[0 : 2 * pairs : 2], tokens[1 : 2 * pairs : 2]
        assert len(set(keys.tolist())) == len(set(values.tolist())) == pairs
        assert 1 <= keys.min() <= keys.max() < half <= values.min()
        # Each key is asked for exactly once, after the list, at an even distance.
        places = np.flatnonzero(where)
        assert sorted(tokens[places]) == sorted(keys)
        assert sorted(targets[places]) == sorted(values)
        assert places.min() >= 2 * pairs
        assert (places % 2 == 0).all()


def test_the_power_law_of_the_distances():
    """With one pair the distance r has probability proportional to (r + 1)^(power - 1)."""
    n, length = 40_000, 22
    for power in (0.01, 1.0):
        task = MultiQueryRecall(vocab_size=64, pairs=1, power=power)
        targets = task.prepare().windows("test", n, length).targets
        counts = np.bincount((np.argmax(targets != IGNORED, axis=1) - 2) // 2, minlength=10)
        expected = np.arange(1, 11) ** (power - 1)
        expected = n * expected / expected.sum()
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_distinct_draws_are_uniform():
    drawn = distinct(np.random.default_rng(0), 60_000, 4, 2)
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(pairs) == 12
    assert (np.abs(counts - 5000) < 5 * np.sqrt(5000)).all()


def test_the_draw_is_pinned():
    """Stored results hang on these numbers: raise the revision when they change."""
    batch = MultiQueryRecall(vocab_size=18, pairs=2).prepare().batches(3, 1, 10).batch(4)
    assert batch.tokens.tolist() == [[3, 13, 5, 9, 5, 5, 3, 0, 12, 1]]
    assert batch.targets.tolist() == [[IGNORED] * 4 + [9, IGNORED, 13] + [IGNORED] * 3]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vocab_size": 17, "pairs": 8}, "take vocab_size of at least 18"),
        ({"vocab_size": -4}, "too few"),
        ({"pairs": 0}, "at least 1"),
        ({"power": 0.0}, "above 0"),
    ],
)
def test_impossible_tasks(fields, said):
    with pytest.raises(ConfigError, match=said):
        MultiQueryRecall(**fields)


def test_too_long_for_the_length():
    stream = MultiQueryRecall(pairs=8).prepare()
    with pytest.raises(ConfigError, match=r"length of at least 32, not 31.*at most 7 pairs"):
        stream.batches(0, 4, 31)
    with pytest.raises(ConfigError, match="unknown split 'valid'"):
        stream.windows("valid", 4, 64)
    with pytest.raises(ConfigError, match="no raw bytes"):
        stream.batches(0, 4, 64, span=65)
