"""An input and its output: the tokens of the source untouched, targets after the input only, each row's input named."""

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.data.continuation import Continuation
from paribus.data.synthetic.copy_task import Copy
from paribus.data.text_source import Text, rows
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.tokenizer.bytes import Bytes


def test_the_rows_of_the_source_with_targets_after_the_input():
    inner, outer = Copy(vocab_size=9).prepare(), Continuation(of=Copy(vocab_size=9), given=7).prepare()
    whole, cut = inner.batches(3, 5, 12).batch(2), outer.batches(3, 5, 12).batch(2)
    assert np.array_equal(cut.tokens, whole.tokens)
    assert (cut.targets[:, :6] == IGNORED).all()
    # The first output is said after the last token of the input.
    assert np.array_equal(cut.targets[:, 6:], whole.targets[:, 6:])
    assert cut.prefix.tolist() == [7] * 5
    assert cut.prefix.dtype == np.int64


@pytest.mark.parametrize("given", [(1, 12), (3, 5)])
def test_a_length_drawn_for_each_row(given):
    stream = Continuation(of=Copy(vocab_size=9), given=given).prepare()
    seen = set()
    for step in range(40):
        batch = stream.batches(0, 6, 12).batch(step)
        seen |= set(batch.prefix.tolist())
        asked = batch.targets != IGNORED
        for row, length in enumerate(batch.prefix):
            assert not asked[row, : length - 1].any()
    assert seen == set(range(given[0], given[1] + 1))
    other = stream.batches(1, 6, 12).batch(0)
    assert other.prefix.tolist() != stream.batches(0, 6, 12).batch(0).prefix.tolist()
    windows = stream.windows("test", 6, 12)
    assert windows.prefix.tolist() == stream.windows("test", 6, 12).prefix.tolist()


def test_the_digest_covers_the_input():
    def digest(given):
        return Continuation(of=Copy(vocab_size=9), given=given).prepare().batches(0, 5, 12).batch(0).digest

    assert digest(3) == digest(3)
    assert len({digest(3), digest(4), digest((3, 4))}) == 3


def test_text_as_input_and_output(tmp_path):
    source = Continuation(of=Text(corpus=PythonStdlib()), given=4)
    stream = source.prepare(tmp_path)
    assert source.open(stream.path).manifest == stream.manifest
    batch = stream.windows("dev", 3, 9)
    text = source.of.open(stream.path).windows("dev", 3, 9)
    assert np.array_equal(batch.tokens, text.tokens)
    assert np.array_equal(batch.targets[:, 3:], text.targets[:, 3:])
    assert (source.vocab_size, source.chance) == (256, 1 / 256)


def test_a_row_shorter_than_its_input_is_all_input():
    from paribus.data.continuation import with_input

    batch = rows(np.arange(8, dtype=np.uint8).reshape(2, 4), 9, Bytes())  # three tokens a row
    cut = with_input(batch, Continuation(of=Copy(), given=5), np.random.default_rng(0))
    assert cut.prefix.tolist() == [3, 3]
    assert cut.targets[:, :2].tolist() == [[IGNORED] * 2] * 2
    assert cut.targets[:, 2].tolist() == [3, 7]


@pytest.mark.parametrize("given", [0, -1, (0, 3), (4, 3)])
def test_impossible_inputs(given):
    with pytest.raises(ConfigError, match=r"expected a number of tokens of at least 1, or \(least, most\)"):
        Continuation(of=Copy(), given=given)


def test_an_input_longer_than_the_rows():
    stream = Continuation(of=Copy(), given=(2, 13)).prepare()
    with pytest.raises(ConfigError, match=r"given = \(2, 13\) in rows of 12 tokens: give at most the row"):
        stream.batches(0, 2, 12)
    with pytest.raises(ConfigError, match="in rows of 12 tokens"):
        stream.windows("test", 2, 12)
