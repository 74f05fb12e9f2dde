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
from paribus.generation.odds import odds
from paribus.generation.samplers.draw import Draw

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("temperature", [1e-4, 1e-39, 1e-46, 1e-300, 5e-324])
def test_a_tiny_temperature_leaves_the_most_likely(temperature, dtype):
    """Whatever overflows: those below the largest have no chance; of equal ones all stay."""
    change = Temperature(temperature=temperature)
    for row in (
        [1.0, 5.0, 2.0, -3.0],
        [-9.0, -5.0, -7.0, -8.0],
        [-1.0, 0.0, -2.0, -torch.inf],
        [6e4, 6.4e4, 0.0, -6e4],
    ):
        logits = torch.tensor([row, [1.0, 3.0, 3.0, 2.0]], dtype=dtype)
        out = change(logits, NOTHING.expand(2, -1))
        assert out.dtype == dtype
        assert torch.equal(out.double().softmax(-1)[0], torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64))
        assert torch.equal(out.double().softmax(-1)[1], torch.tensor([0.0, 0.5, 0.5, 0.0], dtype=torch.float64))


def test_a_huge_temperature_leaves_all_alike():
    out = Temperature(temperature=1e300)(torch.tensor([[1.0, -5.0, -torch.inf]]), NOTHING)
    assert torch.equal(out.softmax(-1), torch.tensor([[0.5, 0.5, 0.0]]))


@pytest.mark.parametrize(
    "change",
    [Temperature(temperature=2.0), Temperature(temperature=1e-300), TopK(k=3), TopP(p=0.9), MinP(p=0.1)],
    ids=str,
)
def test_what_is_endlessly_likely_shares_the_row(change):
    logits = torch.tensor([[1.0, torch.inf, 2.0, torch.inf], [1.0, 2.0, 9.0, 3.0]])
    kept_ = odds(change(logits, NOTHING.expand(2, -1)))
    assert torch.equal(kept_[0], torch.tensor([0.0, 0.5, 0.0, 0.5], dtype=torch.float64))
    assert kept_[1].argmax() == 2
    for uniform, token in ((0.2, 1), (0.7, 3)):
        assert Draw(filters=(change,))(logits[:1], NOTHING, torch.tensor([uniform]).double()).tolist() == [token]


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
        (lambda: RepetitionPenalty(penalty=math.inf), "penalty = inf: expected a positive number"),
        (lambda: RepetitionPenalty(penalty=math.nan), "penalty = nan: expected a positive number"),
        (lambda: CountPenalty(frequency=math.nan), "frequency = nan: expected a number"),
        (lambda: CountPenalty(presence=math.inf), "presence = inf: expected a number"),
        (lambda: NoRepeatedNGram(n=0), "at least 1 token"),
    ],
)
def test_values_that_make_no_sense(make, told):
    with pytest.raises(ConfigError, match=told):
        make()
