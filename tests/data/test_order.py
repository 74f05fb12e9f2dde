"""The order of reading: complete, without overlap, and known for every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError, CorpusError
from paribus.data.order import BatchOrder


@st.composite
def sizes(draw):
    span = draw(st.integers(1, 20))
    return draw(st.integers(span, 300)), span, draw(st.integers(1, 40)), draw(st.integers(0, 3))


@given(sizes())
def test_every_span_once_per_epoch_across_the_borders_of_batches(given_sizes):
    n_bytes, span, batch, seed = given_sizes
    order = BatchOrder(n_bytes, span, batch, seed)
    assert max(1, n_bytes // span - 1) <= order.n_spans <= n_bytes // span
    steps = -(-3 * order.n_spans // batch)
    starts = np.concatenate([order.starts(step) for step in range(steps)])
    for epoch in range(3):
        mine = np.sort(starts[epoch * order.n_spans : (epoch + 1) * order.n_spans])
        assert 0 <= mine[0] < 2 * span - 1
        assert mine[-1] + span <= n_bytes
        assert (np.diff(mine) == span).all()


@given(sizes(), st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_a_step_does_not_depend_on_those_asked_for_before(given_sizes, steps):
    order = BatchOrder(*given_sizes)
    for step in steps:
        starts = order.starts(step)
        assert starts.dtype == np.int64
        assert starts.shape == (given_sizes[2],)
        np.testing.assert_array_equal(starts, BatchOrder(*given_sizes).starts(step))


def test_seeds_and_epochs_differ_in_order_and_phase():
    n_spans = BatchOrder(10_000, 65, 1, 0).n_spans
    epochs = [BatchOrder(10_000, 65, n_spans, seed).starts(epoch) for seed in range(8) for epoch in range(8)]
    assert len({tuple(starts) for starts in epochs}) == 64
    assert len({starts.min() for starts in epochs}) > 20


@pytest.mark.parametrize("n_bytes", [10, 17, 199, 200, 201])
def test_over_epochs_every_byte_is_read_and_every_border_moves(n_bytes):
    order = BatchOrder(n_bytes, 10, BatchOrder(n_bytes, 10, 1, 0).n_spans, 0)
    starts = np.stack([order.starts(epoch) for epoch in range(300)])
    assert set((starts[..., None] + np.arange(10)).ravel().tolist()) == set(range(n_bytes))
    assert len(set((starts % 10).ravel().tolist())) == min(10, n_bytes - 9)


def test_neighbours_in_a_batch_are_not_neighbours_in_the_text():
    starts = BatchOrder(1_000_000, 65, 10_000, 0).starts(0)
    # Of a random permutation about one pair in n_spans follows on; in reading order, all would.
    assert (np.diff(starts) == 65).sum() < 10


def test_the_order_is_pinned():
    """Stored results hang on these numbers: a change here must raise the revision of every source."""
    assert BatchOrder(1000, 65, 4, 7).starts(0).tolist() == [82, 927, 277, 407]
    assert BatchOrder(1000, 65, 4, 7).starts(5).tolist() == [21, 86, 866, 216]


def test_impossible_sizes():
    with pytest.raises(CorpusError, match=r"64 bytes, and one span needs 65: take a larger corpus"):
        BatchOrder(64, 65, 1, 0)
    with pytest.raises(ConfigError, match="at least 1"):
        BatchOrder(64, 8, 0, 0)
    with pytest.raises(ConfigError, match="at least 1"):
        BatchOrder(64, 0, 1, 0)
    with pytest.raises(ConfigError, match="step -1"):
        BatchOrder(64, 8, 1, 0).starts(-1)
