"""A mixture is the mean of what its readings expect, in one pass, in pieces, and in writing."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.document import Document
from paribus.attention.masks.visible import Visible
from paribus.context_extension import extend
from paribus.core.errors import ConfigError, InputError
from paribus.generation.generate import generate
from paribus.generation.samplers.greedy import Greedy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.models.mixture import Component, Mixture
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary_2d import Rotary2D

TOKENS = torch.randint(0, 31, (3, 23), generator=torch.Generator().manual_seed(0))


def plain(seed=0, vocab_size=31):
    config = DecoderLM.Config(
        n_layers=2,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2),
        feed_forward=FeedForward.Config(d_ff=20),
        vocab_size=vocab_size,
    )
    model = config.build()
    draw(model, seed)
    return model.double()


def mixture(context=9):
    model = plain()
    return Mixture([Component(extend(model, ReRoPE(window=4))), Component(model, context)])


@pytest.mark.parametrize(("context", "last"), [(9, 4), (9, 9), (9, 12), (9, None), (40, None), (1, 3)])
@torch.no_grad()
def test_by_hand(context, last):
    model = plain()
    far = extend(model, ReRoPE(window=4))
    found = Mixture([Component(far), Component(model, context)])(TOKENS, last=last).exp()
    whole, cut = far(TOKENS).softmax(-1), model(TOKENS[:, -context:]).softmax(-1)
    n = min(context, 23)
    whole[:, -n:] = (whole[:, -n:] + cut) / 2
    torch.testing.assert_close(found, whole if last is None else whole[:, -last:])


@torch.no_grad()
def test_never_worse_than_its_readings_on_average():
    models = [plain(seed) for seed in range(3)]
    mixed = Mixture([Component(model) for model in models])(TOKENS)
    targets = torch.randint(0, 31, TOKENS.shape, generator=torch.Generator().manual_seed(1))
    each = [F.cross_entropy(model(TOKENS).mT, targets, reduction="none") for model in models]
    assert (F.nll_loss(mixed.mT, targets, reduction="none") <= sum(each) / 3 + 1e-12).all()


@pytest.mark.parametrize("cuts", [(0, 23), (0, 14, 23), (0, 5, 13, 16, 17, 23), tuple(range(24))])
@torch.no_grad()
def test_pieces_are_one_pass(cuts):
    mixed, at = mixture(), torch.arange(23)[None]
    state, parts = mixed.start(3, 23), []
    for start, stop in pairwise(cuts):
        y, state = mixed.prefill(TOKENS[:, start:stop], at[:, start:stop], state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), mixed(TOKENS))
    assert state.length == 23


@pytest.mark.parametrize("cuts", [(0, 23), (0, 14, 17, 23), tuple(range(24))])
@torch.no_grad()
def test_what_stands_before_a_text_that_is_cut(cuts):
    """Two tokens, which the context counts in, and only where something was left out."""
    model, begin, at = plain(), torch.tensor([[5, 7]]).expand(3, -1), torch.arange(23)[None]
    mixed = Mixture([Component(model), Component(model, 9, (5, 7))])
    expected = model(TOKENS).softmax(-1)
    expected[:, -7:] = (expected[:, -7:] + model(torch.cat((begin, TOKENS[:, -7:]), dim=1))[:, -7:].softmax(-1)) / 2
    torch.testing.assert_close(mixed(TOKENS).exp(), expected)
    torch.testing.assert_close(mixed(TOKENS[:, :9]), model(TOKENS[:, :9]).log_softmax(-1))
    state, parts = mixed.start(3, 23), []
    for start, stop in pairwise(cuts):
        y, state = mixed.prefill(TOKENS[:, start:stop], at[:, start:stop], state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1).exp(), expected)


@torch.no_grad()
def test_positions_count_from_where_a_reading_begins():
    """A text at positions from 100 on, whose cut is read at positions from 0 on, as by itself."""
    model = plain()
    mixed = Mixture([Component(model), Component(model, 9)])
    torch.testing.assert_close(mixed(TOKENS, torch.arange(100, 123)[None]), mixed(TOKENS))


@torch.no_grad()
def test_it_writes():
    """Greedy, each token from one pass over the text so far, the cut beginning where it will have room at the end."""
    model = plain()
    far, new, context = extend(model, ReRoPE(window=4)), 5, 9
    text = TOKENS
    for _ in range(new):
        begins = 23 + new - context
        p = far(text)[:, -1].softmax(-1) + model(text[:, begins:])[:, -1].softmax(-1)
        text = torch.cat((text, p.argmax(-1, keepdim=True)), dim=1)
    mixed = Mixture([Component(far), Component(model, context)])
    assert torch.equal(generate(mixed, TOKENS, new, Greedy(), chunk=4), text[:, 23:])


@pytest.mark.parametrize("begin", [(), (5, 7)], ids=str)
@torch.no_grad()
def test_prompts_of_several_lengths(begin):
    model = plain()
    mixed = Mixture([Component(extend(model, ReRoPE(window=4))), Component(model, 9, begin)])
    prompts = [TOKENS[row, : (23, 11, 3)[row]] for row in range(3)]
    together = generate(mixed, prompts, 5, chunk=4)
    for row, one in enumerate(prompts):
        assert torch.equal(together[row : row + 1], generate(mixed, one[None], 5))


@pytest.mark.parametrize("begin", [(), (5, 7)], ids=str)
@torch.no_grad()
def test_padding_in_one_pass(begin):
    model = plain()
    mixed, valid = (
        Mixture([Component(model), Component(model, 9, begin)]),
        torch.arange(23) >= torch.tensor([0, 6, 15])[:, None],
    )
    at = (valid.cumsum(dim=1) - 1).clamp(min=0)
    found = mixed(TOKENS, at, Visible(valid=valid))
    for row, hidden in enumerate((0, 6, 15)):
        torch.testing.assert_close(found[row : row + 1, hidden:], mixed(TOKENS[row : row + 1, hidden:]))


def test_bf16_is_mixed_in_float32():
    mixed = mixture().to(torch.bfloat16)
    assert mixed(TOKENS).dtype == torch.float32


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ([], "a mixture of no readings"),
        ([Component(plain(), 9)], "the first reading of a mixture reads every token"),
        ([Component(plain()), Component(plain(vocab_size=7))], r"vocabularies of \[31, 7\] tokens cannot be mixed"),
        ([Component(plain()), Component(plain(), 0)], "context = 0: expected a whole number, more than the 0 tokens"),
        ([Component(plain()), Component(plain(), 2.5)], "context = 2.5: expected a whole number"),
        (
            [Component(plain()), Component(plain(), 2, (1, 2))],
            "context = 2: expected a whole number, more than the 2 tokens",
        ),
        ([Component(plain()), Component(plain(), 9, (1, 31))], r"begin = \(1, 31\): expected tokens from 0 to 30"),
    ],
)
def test_impossible_mixtures(readings, said):
    with pytest.raises(ConfigError, match=said):
        Mixture(readings)


def test_places_of_two_coordinates():
    config = replace(plain().config, mixer=GroupedQuery.Config(n_heads=2, position=Rotary2D()))
    model = config.build()
    draw(model, 0)
    at = torch.zeros(1, 23, 2)
    assert torch.equal(Mixture([Component(model)])(TOKENS, at), model(TOKENS, at).log_softmax(-1))
    with pytest.raises(InputError, match=r"positions of shape \(1, 9, 2\): a reading that leaves out"):
        Mixture([Component(model), Component(model, 9)])(TOKENS, at)


def test_a_mask_of_places():
    documents = Document(ids=torch.zeros(3, 23, dtype=torch.int64))
    with pytest.raises(InputError, match="Document speaks of places in the whole text"):
        mixture()(TOKENS, mask=documents)
