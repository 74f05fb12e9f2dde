"""Every metric: names with units and directions, a worst value, the same numbers however it is read."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.data.batch import Batch, digest_of
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.base import Metric
from paribus.evaluation.bits_per_byte import BitsPerByte
from paribus.evaluation.samples import Samples

EXAMPLES = [example for cls in members(Metric) for example in cls.examples]
# Bits per byte are read from windows that say how many bytes their tokens hold, and samples drawn from a decoder:
# test_bits_per_byte.py, test_samples.py.
PLAIN = [one for one in EXAMPLES if not isinstance(one, (BitsPerByte, Samples))]
every = pytest.mark.parametrize("metric", PLAIN, ids=str)
VOCABULARY = 11


class Uniform(nn.Module):
    """Knows nothing: every token is as likely."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        logits = torch.zeros(*tokens.shape, VOCABULARY) + self.weight
        return logits if last is None else logits[:, -last:]


def windows(count: int, length: int) -> Batch:
    random = np.random.default_rng(0)
    tokens, targets = random.integers(VOCABULARY, size=(2, count, length))
    return Batch(tokens, targets, digest_of(tokens, targets))


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Metric))


@every
def test_names_and_what_they_mean(metric):
    names = metric.names()
    assert len(set(names)) == len(names) > 0
    source = Copy(vocab_size=VOCABULARY)
    for name in names:
        assert metric.unit(name)
        assert metric.worst(name, source) == (math.log(VOCABULARY) if metric.lower_is_better(name) else source.chance)
    assert metric.tokens_read() >= metric.windows * metric.longest


@every
def test_a_model_that_knows_nothing(metric):
    found = metric.measure(Uniform(), windows(metric.windows, metric.longest))
    assert tuple(found) == metric.names()
    for name, value in found.items():
        assert isinstance(value, float)
        if name.startswith("loss"):
            assert value == pytest.approx(math.log(VOCABULARY))


@every
def test_it_leaves_the_model_alone(metric):
    model = Uniform()
    metric.measure(model, windows(metric.windows, metric.longest))
    assert model.weight.grad is None
    assert torch.equal(model.weight, torch.zeros(1))


@every
def test_windows_that_are_too_short(metric):
    with pytest.raises(ConfigError, match=f"{metric.longest} are to be read: ask for longer windows"):
        metric.measure(Uniform(), windows(metric.windows, metric.longest - 1))
