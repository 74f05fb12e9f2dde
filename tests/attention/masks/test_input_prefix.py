"""Causal until a call names its input; then what the call shows, in every combination of masks."""

import pytest
import torch

from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.attention.masks.document import Document
from paribus.attention.masks.input_prefix import InputPrefix
from paribus.attention.masks.prefix import Prefix
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible

AT = torch.arange(7)
VALID = Visible(valid=((False, True, True, True, True, True, True), (True,) * 7))


def seen(mask, batch=2, heads=2):
    return mask.dense(batch, heads, AT, AT).expand(batch, heads, 7, 7)


def test_without_an_input_it_is_the_causal_mask():
    assert torch.equal(seen(InputPrefix()), seen(Causal()))
    assert torch.equal(seen(InputPrefix().within(None)), seen(Causal()))
    # Padding and documents name no input: nothing later may be seen.
    for shown in (VALID, Document(ids=((0,) * 7, (0, 0, 1, 1, 1, 1, 1)))):
        assert torch.equal(seen(InputPrefix().within(shown)), seen(Causal() & shown))


@pytest.mark.parametrize("lengths", [0, 1, 4, 7, (2, 5), torch.tensor([0, 7])], ids=str)
def test_an_input_sees_itself(lengths):
    named = Prefix(length=lengths)
    assert torch.equal(seen(InputPrefix().within(named)), seen(named))
    for shown in (named & VALID, VALID & named):
        assert torch.equal(seen(InputPrefix().within(shown)), seen(named & VALID))
    # A causal layer is told nothing new, a bidirectional one no more than the call shows.
    assert torch.equal(seen(Causal().within(named)), seen(Causal()))
    assert torch.equal(seen(Bidirectional().within(named)), seen(named))


def test_inside_other_masks():
    named, window = Prefix(length=(3, 5)), SlidingWindow(window=3)
    assert torch.equal(seen((InputPrefix() & window).within(named)), seen(named & window))
    assert torch.equal(seen((InputPrefix() | Causal()).within(named)), seen(named))
    halves = PerHead(masks=(Causal(), InputPrefix()), n_heads=2).within(named)
    assert torch.equal(seen(halves)[:, 0], seen(Causal())[:, 0])
    assert torch.equal(seen(halves)[:, 1], seen(named)[:, 1])


def test_what_is_said_of_it():
    for mask in (InputPrefix(), InputPrefix() & Causal(), PerHead(masks=(Causal(), InputPrefix()), n_heads=2)):
        assert mask.reads_input
        assert mask.causal
    assert not (Causal() & Prefix(length=3)).reads_input
    assert (Prefix(length=3) & VALID).names_input
    assert not VALID.names_input
