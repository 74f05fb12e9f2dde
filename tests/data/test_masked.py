"""Holes: only they are asked for, they hide what stood there, and every reader of the batch sees the same ones."""

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED, Batch
from paribus.data.masked import Masked, with_holes
from paribus.data.synthetic.copy_task import Copy

COPY = Copy(vocab_size=9)


def plain(rows=40, length=50, digest="a"):
    random = np.random.default_rng(0)
    tokens = random.integers(9, size=(rows, length))
    return Batch(tokens, np.roll(tokens, -1, axis=1), digest)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_only_holes_are_asked_for(share):
    before, task = plain(), Masked(of=COPY, share=share)
    after = with_holes(before, task)
    hidden = after.tokens == 9
    assert np.array_equal(after.targets != IGNORED, hidden)
    assert np.array_equal(after.targets[hidden], before.tokens[hidden])
    assert np.array_equal(after.tokens[~hidden], before.tokens[~hidden])
    assert hidden.mean() == pytest.approx(share, abs=0.03)
    assert task.vocab_size == 10


def test_holes_are_a_function_of_the_batch():
    task = Masked(of=COPY)
    assert np.array_equal(with_holes(plain(), task).tokens, with_holes(plain(), task).tokens)
    assert not np.array_equal(with_holes(plain(), task).tokens, with_holes(plain(digest="b"), task).tokens)
    assert (plain().tokens < 9).all()  # the source's own batch is left as it is


def test_padding_is_never_hidden_and_something_always_is():
    batch = plain(2, 4)
    batch.targets[:, 2:] = IGNORED
    for number in range(50):
        found = with_holes(batch._replace(digest=str(number)), Masked(of=COPY, share=0.3))
        asked = found.targets != IGNORED
        assert asked.any()
        if asked.sum() > 1:
            assert not asked[:, 2:].any()


def test_a_stream():
    stream = Masked(of=COPY).prepare()
    batch = stream.batches(3, 5, 12).batch(2)
    inner = COPY.prepare().batches(3, 5, 12).batch(2)
    shown = batch.tokens != 9
    assert np.array_equal(batch.tokens[shown], inner.tokens[shown])
    assert stream.manifest["digest"] != COPY.prepare().manifest["digest"]
    assert stream.manifest["digest"] != Masked(of=COPY, share=0.3).prepare().manifest["digest"]
    assert np.array_equal(
        stream.windows("test", 4, 12).tokens, Masked(of=COPY).open(None).windows("test", 4, 12).tokens
    )


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_impossible_shares(share):
    with pytest.raises(ConfigError, match=r"Masked.share = .*: expected a probability above 0 and below 1"):
        Masked(of=COPY, share=share)
