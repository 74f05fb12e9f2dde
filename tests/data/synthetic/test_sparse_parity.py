"""Sparse parity: answers by hand, task frequencies, and bits that a task keeps."""

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.core.seed import generator
from paribus.data.batch import IGNORED
from paribus.data.synthetic.sparse_parity import SparseParity


def test_answers():
    task = SparseParity(tasks=6, bits=7, of=3)
    tokens, targets = task.draw(generator(0, "parity"), 50, 8)
    assert (targets[:, :-1] == IGNORED).all()
    for row, answer in zip(tokens, targets[:, -1]):
        assert 2 <= row[0] < task.vocab_size
        assert set(row[1:]) <= {0, 1}
        assert answer == sum(row[1 + bit] for bit in task.subsets()[row[0] - 2]) % 2
    assert set(targets[:, -1]) == {0, 1}


def test_each_task_has_its_own_bits():
    subsets = SparseParity(tasks=40, bits=9, of=4).subsets()
    assert subsets.shape == (40, 4)
    assert all(len(set(row)) == 4 and set(row) <= set(range(9)) for row in subsets)
    assert len({tuple(sorted(row)) for row in subsets}) > 20
    assert np.array_equal(subsets, SparseParity(tasks=40, bits=9, of=4, zipf=0.0).subsets())
    assert not np.array_equal(subsets, SparseParity(tasks=40, bits=9, of=4, world=1).subsets())


@pytest.mark.parametrize("zipf", [0.0, 1.5])
def test_frequencies(zipf):
    task = SparseParity(tasks=4, bits=3, of=1, zipf=zipf)
    p = task.frequencies()
    assert p.sum() == pytest.approx(1)
    assert p[0] / p[3] == pytest.approx(4**zipf)
    tokens, _ = task.draw(generator(1, "parity"), 40_000, 4)
    found = np.bincount(tokens[:, 0] - 2, minlength=4) / 40_000
    assert np.abs(found - p).max() < 0.012  # five standard deviations


def test_tasks_to_order():
    task = SparseParity(tasks=3, bits=4, of=4)
    which = np.array([2, 0, 2, 1])
    tokens, targets = task.pose(generator(2, "parity"), which)
    assert tokens[:, 0].tolist() == [4, 2, 4, 3]
    assert (targets[:, -1] == tokens[:, 1:].sum(1) % 2).all()


def test_impossible_tasks():
    for fields, words in [
        ({"tasks": 0}, "tasks = 0"),
        ({"of": 17}, "of = 17 of 16 bits: expected 1 to 16"),
        ({"of": 0}, "of = 0"),
        ({"zipf": -1.0}, "zipf = -1.0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            SparseParity(**fields)
    with pytest.raises(ConfigError, match="16 bits has length 17, not 16"):
        SparseParity().prepare().windows("test", count=2, length=16)
