"""Sources in turn: each its own steps and lengths, equal tokens a step."""

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.data.alternating import Alternating
from paribus.data.synthetic.copy_task import Copy
from paribus.data.synthetic.final_question import FinalQuestion
from paribus.data.text_source import Text
from paribus.text.corpora.python_docs import PythonDocs
from paribus.text.corpora.python_stdlib import PythonStdlib

COPY, ASK = Copy(vocab_size=64), FinalQuestion(vocab_size=64, keys=4, values=8)


def test_each_source_counts_its_own_steps():
    batches = Alternating(sources=(COPY, ASK), turns=(0, 1, 1), lengths=(None, 5)).prepare().batches(7, 6, 10)
    copies, questions = COPY.prepare().batches(7, 6, 10), ASK.prepare().batches(7, 12, 5)
    expected = [copies.batch(0), questions.batch(0), questions.batch(1)]
    expected += [copies.batch(1), questions.batch(2), questions.batch(3)]
    for step, own in enumerate(expected):
        found = batches.batch(step)
        assert np.array_equal(found.tokens, own.tokens)
        assert np.array_equal(found.targets, own.targets)
        assert found.digest == own.digest
        assert found.tokens.size == 60


def test_held_out_windows_are_of_the_first():
    stream = Alternating(sources=(ASK, COPY), turns=(1, 0), lengths=(None, None)).prepare()
    assert np.array_equal(stream.windows("dev", 3, 8).tokens, ASK.prepare().windows("dev", 3, 8).tokens)


def test_text_and_questions(tmp_path):
    source = Alternating(sources=(Text(corpus=PythonStdlib()), FinalQuestion()), turns=(0, 1), lengths=(None, 9))
    stream = source.prepare(tmp_path)
    again = source.open(stream.path)
    assert again.manifest == stream.manifest
    text = Text(corpus=PythonStdlib()).prepare(tmp_path)
    assert stream.manifest["digest"] != text.manifest["digest"]
    assert stream.manifest["schema"] == text.manifest["schema"]
    assert again.batches(0, 4, 18).batch(0).tokens.shape == (4, 18)
    assert again.batches(0, 4, 18).batch(1).tokens.shape == (8, 9)
    with pytest.raises(ConfigError, match="no bytes in common to span"):
        again.batches(0, 4, 18, span=3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sources": ()}, "expected at least one"),
        ({"sources": (COPY, Copy(vocab_size=65))}, r"sources of \[64, 65\] tokens: expected one vocabulary"),
        ({"turns": (0, 0)}, "each of the indices 0 to 1 at least once"),
        ({"turns": (0, 1, 2)}, "and no other"),
        ({"lengths": (None,)}, "expected 2 numbers of tokens"),
        ({"lengths": (None, 0)}, "of at least 1, or None"),
    ],
)
def test_impossible_orders(changed, words):
    with pytest.raises(ConfigError, match=words):
        Alternating(**({"sources": (COPY, ASK), "turns": (0, 1), "lengths": (None, 5)} | changed))


def test_two_corpora(tmp_path):
    both = Alternating(
        sources=(Text(corpus=PythonStdlib()), Text(corpus=PythonDocs())), turns=(0, 1), lengths=(None, None)
    )
    with pytest.raises(ConfigError, match="at most one text among its sources"):
        both.prepare(tmp_path)
