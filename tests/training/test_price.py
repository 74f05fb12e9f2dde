"""What a config does not declare is counted, and the count is what a config of the package declares."""

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.training.price import check_layout, flops, n_parameters, seed_everything

PACKAGE = DecoderLM.Config(
    n_layers=2, d_model=12, vocab_size=7, mixer=GroupedQuery.Config(n_heads=3), feed_forward=FeedForward.Config(d_ff=20)
)


@dataclass(frozen=True)
class Silent:
    """A config of the user's that declares nothing."""

    inner: DecoderLM.Config

    def build(self):
        return self.inner.build()


@dataclass(frozen=True)
class Fused:
    """Nothing but two projections and torch's own fused attention."""

    heads: int

    def build(self):
        return FusedModel(self.heads)


class FusedModel(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(7, 8)
        self.out = nn.Linear(8, 7, bias=False)

    def forward(self, tokens, last=None):
        x = self.embedding(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        x = nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class Declared:
    def n_parameters(self):
        return 5

    def flops(self, length, causal=False):
        return length if causal else 2 * length


@pytest.mark.parametrize("length", [1, 7, 33, 300])
@pytest.mark.parametrize("position", [Rotary(), Rotary(map=ReRoPE(window=75))], ids=str)
def test_the_count_is_the_declaration(length, position):
    """At lengths that other programs compute, too."""
    package = replace(PACKAGE, mixer=replace(PACKAGE.mixer, position=position))
    silent = Silent(package)
    assert n_parameters(silent) == n_parameters(package) == package.n_parameters()
    assert flops(silent, length) == flops(package, length) == package.flops(length)


@pytest.mark.parametrize("heads", [1, 2])
def test_fused_attention_is_counted(heads):
    n = 13
    attention = 2 * 2 * n * n * 8  # scores and values, 2 FLOPs a multiply-add, all pairs
    assert flops(Fused(heads), n) == attention + 2 * n * 8 * 7
    assert n_parameters(Fused(heads)) == 2 * 7 * 8


def test_what_is_declared_is_believed():
    assert n_parameters(Declared()) == 5
    assert flops(Declared(), 4) == 8
    assert flops(Declared(), 4, causal=True) == 4


class Moody(nn.Module):
    """Another model whenever the dice say so."""

    def __init__(self, dice):
        super().__init__()
        self.one = nn.Linear(3, 4)
        {
            "no": lambda: None,
            "shape": lambda: setattr(self, "two", nn.Linear(3, 1 + random.randrange(10**6))),
            "name": lambda: self.add_module(f"two_{np.random.randint(10**6)}", nn.Linear(3, 3)),  # noqa: NPY002
            "count": lambda: self.extend(int(torch.randint(1000, ()))),
        }[dice]()

    def extend(self, count):
        self.more = nn.ParameterList(torch.zeros(1) for _ in range(count))


@dataclass(frozen=True)
class MoodyConfig:
    dice: str

    def build(self):
        return Moody(self.dice)


@pytest.mark.parametrize("dice", ["shape", "name", "count"])
def test_a_model_that_changes_with_the_seed(dice):
    """Other shapes, names or a count, whichever generator they are drawn from."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(
        ConfigError, match=r"MoodyConfig changes with the seed: it has .* in all against .* their names"
    ):
        n_parameters(MoodyConfig(dice))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_model_of_one_layout():
    config = MoodyConfig("no")
    for seed in range(3):
        seed_everything(seed)
        check_layout(config, config.build(), seed)
    other = config.build()
    other.one = nn.Linear(3, 5)
    with pytest.raises(
        ConfigError, match=r"has 'one.bias' of shape \(4,\), and at seed 3 it has .* shape \(5,\) \(16 num"
    ):
        check_layout(config, other, 3)
    del other.one
    with pytest.raises(ConfigError, match=r"at seed 4 it has no 'one\.bias'"):
        check_layout(config, other, 4)


def test_parameters_are_counted_without_making_them():
    """Sixteen terabytes of weights are an outline only."""

    @dataclass(frozen=True)
    class Huge:
        def build(self):
            return nn.Linear(2_000_000, 2_000_000, bias=False)

    assert n_parameters(Huge()) == 4 * 10**12


def test_a_model_that_must_be_made_to_be_counted():
    @dataclass(frozen=True)
    class Looked:
        def build(self):
            made = nn.Linear(3, 4)
            made.largest = float(made.weight.detach().max())
            return made

    assert n_parameters(Looked()) == 16
