"""What a config does not declare is counted, and the count is what a config of the package declares."""

from dataclasses import dataclass

import pytest
from torch import nn

from paribus.attention.grouped_query import GroupedQuery
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.training.price import flops, n_parameters

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


@pytest.mark.parametrize("length", [1, 7, 33])
def test_the_count_is_the_declaration(length):
    silent = Silent(PACKAGE)
    assert n_parameters(silent) == n_parameters(PACKAGE) == PACKAGE.n_parameters()
    assert flops(silent, length) == flops(PACKAGE, length) == PACKAGE.flops(length)


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
