"""Every key once, its value at hand, one question at the end, answered from the facts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.data.synthetic.final_question import FinalQuestion


@settings(max_examples=30, deadline=None)
@given(
    keys=st.integers(2, 9),
    values=st.integers(2, 9),
    batch=st.integers(1, 5),
    extra=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_the_answer_stands_among_the_facts(keys, values, batch, extra, seed):
    task = FinalQuestion(vocab_size=1 + keys * values + keys + values, keys=keys, values=values)
    length = keys + 1 + extra
    tokens, targets = task.draw(np.random.default_rng(seed), batch, length)
    assert tokens.shape == targets.shape == (batch, length)
    assert (tokens[:, :extra] == 0).all()
    assert (targets[:, :-1] == IGNORED).all()
    facts = tokens[:, extra:-1] - 1
    assert (np.sort(facts // values, axis=1) == np.arange(keys)).all()
    for row in range(batch):
        said = dict(zip((facts[row] // values).tolist(), (facts[row] % values).tolist(), strict=True))
        asked = int(tokens[row, -1]) - 1 - keys * values
        assert targets[row, -1] == 1 + keys * values + keys + said[asked]
    assert max(tokens.max(), targets.max()) < task.vocab_size


def test_every_question_every_answer():
    task = FinalQuestion(vocab_size=20, keys=3, values=4)
    tokens, targets = task.draw(np.random.default_rng(0), 400, 4)
    assert set(tokens[:, -1].tolist()) == {13, 14, 15}
    assert set(targets[:, -1].tolist()) == {16, 17, 18, 19}
    assert task.chance == 0.25


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"keys": 1}, "1 keys and 16 values, expected at least 2 of each"),
        ({"values": 1}, "expected at least 2 of each"),
        ({"keys": 15, "values": 16}, "need a vocabulary of 272 tokens, not 256"),
    ],
)
def test_impossible_tasks(changed, words):
    with pytest.raises(ConfigError, match=words):
        FinalQuestion(**changed)


def test_too_short():
    with pytest.raises(ConfigError, match="8 keys needs a length of at least 9, not 8"):
        FinalQuestion().prepare().windows("test", 2, 8)
