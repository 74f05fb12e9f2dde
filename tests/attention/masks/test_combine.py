"""Masks of masks, and different masks for different heads."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import And, Or, PerHead
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.core.errors import ConfigError


def test_the_signs_make_the_parts():
    assert Causal() & SlidingWindow(window=2) == And(left=Causal(), right=SlidingWindow(window=2))
    assert Causal() | Anticausal() == Or(left=Causal(), right=Anticausal())


def test_groups_of_heads():
    """Two masks for six heads: three each, in order."""
    at = torch.arange(5)
    found = PerHead(masks=(Causal(), Anticausal()), n_heads=6).dense(1, 6, at, at)[0]
    for head in range(6):
        expected = (Causal() if head < 3 else Anticausal()).dense(1, 1, at, at)[0, 0]
        assert torch.equal(found[head], expected)


def test_causal_only_if_every_head_is():
    assert PerHead(masks=(Causal(), Causal() & SlidingWindow(window=3)), n_heads=4).causal
    assert not PerHead(masks=(Causal(), Anticausal()), n_heads=4).causal


@pytest.mark.parametrize(
    ("masks", "n_heads", "said"),
    [
        ((Causal(), Anticausal()), 5, "n_heads = 5 cannot be shared equally by 2 masks"),
        ((), 4, "at least one mask"),
    ],
)
def test_impossible_groups(masks, n_heads, said):
    with pytest.raises(ConfigError, match=said):
        PerHead(masks=masks, n_heads=n_heads)


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: m & Causal(), lambda m: Bidirectional() | m])
def test_the_layer_must_have_as_many_heads(wrap):
    mask = wrap(PerHead(masks=(Causal(), Anticausal()), n_heads=4))
    with pytest.raises(ConfigError, match="made for 4 heads, the layer has 8"):
        GroupedQuery.Config(d_model=16, n_heads=8, mask=mask)
