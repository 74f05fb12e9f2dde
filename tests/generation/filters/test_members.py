"""What each filter does, on numbers that can be followed by hand."""

import math

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.generation.filters.count_penalty import CountPenalty
from paribus.generation.filters.min_p import MinP
from paribus.generation.filters.no_repeated_ngram import NoRepeatedNGram
from paribus.generation.filters.repetition_penalty import RepetitionPenalty
from paribus.generation.filters.temperature import Temperature
from paribus.generation.filters.top_k import TopK
from paribus.generation.filters.top_p import TopP
from paribus.generation.filters.within import Within

NOTHING = torch.zeros(1, 0, dtype=torch.int64)


def kept(change, probabilities, seen=NOTHING):
    logits = torch.tensor([probabilities], dtype=torch.float64).log()
    return torch.isfinite(change(logits, seen))[0].nonzero().flatten().tolist()


def test_top_k():
    assert kept(TopK(k=2), [0.1, 0.4, 0.2, 0.3]) == [1, 3]
    assert kept(TopK(k=2), [0.2, 0.4, 0.2, 0.2]) == [0, 1, 2, 3], "equal ones are kept together"
    assert kept(TopK(k=9), [0.1, 0.4, 0.2, 0.3]) == [0, 1, 2, 3]


def test_top_p():
    assert kept(TopP(p=0.6), [0.1, 0.4, 0.2, 0.3]) == [1, 3]
    assert kept(TopP(p=0.75), [0.1, 0.4, 0.2, 0.3]) == [1, 2, 3]
    assert kept(TopP(p=0.01), [0.1, 0.4, 0.2, 0.3]) == [1]
    assert kept(TopP(p=0.5), [0.25, 0.25, 0.25, 0.25]) == [0, 1], "of equal ones the smaller ids"


def test_min_p():
    assert kept(MinP(p=0.5), [0.1, 0.4, 0.21, 0.29]) == [1, 2, 3]
    assert kept(MinP(p=1.0), [0.1, 0.4, 0.1, 0.4]) == [1, 3]


def test_within():
    assert kept(Within(n=2), [0.1, 0.4, 0.1, 0.4]) == [0, 1]


def test_temperature_scales():
    logits = torch.tensor([[1.0, -2.0]])
    assert torch.equal(Temperature(temperature=2.0)(logits, NOTHING), torch.tensor([[0.5, -1.0]]))


def test_penalties_for_what_was_seen():
    logits = torch.tensor([[2.0, -2.0, 1.0, 0.0]])
    seen = torch.tensor([[-1, 0, 1, 0]])
    assert torch.equal(RepetitionPenalty(penalty=2.0)(logits, seen), torch.tensor([[1.0, -4.0, 1.0, 0.0]]))
    counted = CountPenalty(frequency=0.5, presence=0.25)(logits, seen)
    assert torch.equal(counted, torch.tensor([[0.75, -2.75, 1.0, 0.0]]))


def test_no_ngram_comes_twice():
    seen = torch.tensor([[1, 2, 3, 0, 1, 2]])
    assert kept(NoRepeatedNGram(n=3), [0.25] * 4, seen) == [0, 1, 2]
    assert kept(NoRepeatedNGram(n=1), [0.2] * 5, seen) == [4]
    assert kept(NoRepeatedNGram(n=1), [0.25] * 4, seen) == [0, 1, 2, 3], "nothing would be left"
    padded = torch.tensor([[-1, -1, 2, -1, -1]])
    assert kept(NoRepeatedNGram(n=3), [0.25] * 4, padded) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Temperature(temperature=0.0), "for the most likely token use Greedy"),
        (lambda: Temperature(temperature=math.inf), "expected a positive number"),
        (lambda: TopK(k=0), "at least 1 token"),
        (lambda: TopP(p=0.0), "probability in"),
        (lambda: MinP(p=1.5), "share of the highest probability"),
        (lambda: RepetitionPenalty(penalty=0.0), "above 1 repeats less"),
        (lambda: NoRepeatedNGram(n=0), "at least 1 token"),
    ],
)
def test_values_that_make_no_sense(make, told):
    with pytest.raises(ConfigError, match=told):
        make()
