"""Needles: every question has one answer in the row, and the end of a long row is a short row."""

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.core.seed import generator
from paribus.data.batch import IGNORED
from paribus.data.synthetic.needles import Needles


@pytest.mark.parametrize(
    ("task", "length"), [(Needles(), 64), (Needles(), 201), (Needles(keys=5, asked=3, reach=3), 6)]
)
def test_each_question_is_answered_by_one_pair(task, length):
    tokens, targets = task.draw(generator(0, "needles"), 17, length)
    n_pairs = task.keys * task.values
    assert tokens.shape == targets.shape == (17, length)
    for row, wanted in zip(tokens, targets):
        pairs, questions = row[: -task.asked], row[-task.asked :] - n_pairs
        assert (wanted[: -task.asked] == IGNORED).all()
        assert ((pairs >= 0) & (pairs < n_pairs)).all()
        assert len(set(questions)) == task.asked
        assert ((questions >= 0) & (questions < task.keys)).all()
        for question, answer in zip(questions, wanted[-task.asked :]):
            (place,) = np.flatnonzero(pairs // task.values == question)
            assert answer == n_pairs + task.keys + pairs[place] % task.values
            assert place >= len(pairs) - task.reach
        assert wanted.max() < task.vocab_size


def test_the_end_of_a_long_row_is_a_short_row():
    """Nothing that a question needs is cut off, and what is before it answers no question."""
    task = Needles(keys=9, values=3, asked=2, reach=5)
    tokens, targets = task.draw(generator(1, "needles"), 30, 40)
    short, wanted = tokens[:, -7:], targets[:, -7:]
    for row, answers in zip(short, wanted):
        for question, answer in zip(row[-2:], answers[-2:]):
            held = row[:-2][row[:-2] // 3 == question - 27]
            assert len(held) == 1
            assert answer == 27 + 9 + held[0] % 3


def test_every_place_and_value_comes_up():
    task = Needles(keys=4, values=3, asked=1, reach=4)
    tokens, targets = task.draw(generator(2, "needles"), 600, 8)
    assert set(targets[:, -1]) == {16, 17, 18}
    found = tokens[:, :7] // 3 == (tokens[:, -1:] - 12)
    places, counts = np.unique(found.argmax(1), return_counts=True)
    assert places.tolist() == [3, 4, 5, 6]
    assert counts.min() > 100


def test_impossible_tasks():
    for fields, words in [
        ({"values": 1}, "values = 1: expected at least 2"),
        ({"asked": 32}, "asked = 32 of 32 keys"),
        ({"asked": 0}, "asked = 0"),
        ({"reach": 7}, "reach = 7: expected room for the 8 pairs"),
    ]:
        with pytest.raises(ConfigError, match=words):
            Needles(**fields)
    with pytest.raises(ConfigError, match="at least reach \\+ asked = 64, not 63"):
        Needles().prepare().windows("test", count=2, length=63)
