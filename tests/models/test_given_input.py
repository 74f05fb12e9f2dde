"""A model whose input sees itself: what depends on what, by gradient; and the same numbers over a cache."""

import numpy as np
import pytest
import torch
from torch import nn

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.masks.input_prefix import InputPrefix
from paribus.attention.masks.prefix import Prefix
from paribus.core.errors import ConfigError
from paribus.generation.generate import generate
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.models.given_input import given_input
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

LENGTH = 9
MIXERS = [
    GroupedQuery.Config(n_heads=2, mask=InputPrefix()),
    GroupedQuery.Config(n_heads=2, n_kv_heads=1, mask=InputPrefix(), position=Rotary(map=ReRoPE(window=3))),
    Latent.Config(n_heads=2, latent=12, rope_dim=4, mask=InputPrefix()),
]
every = pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: f"{type(mixer).__qualname__}-{mixer.position}")


def model_of(mixer) -> DecoderLM:
    config = DecoderLM.Config(
        n_layers=2, d_model=16, mixer=mixer, feed_forward=FeedForward.Config(d_ff=32), vocab_size=13
    )
    model = config.build()
    draw(model, 0)
    return model.double().eval()


def depends(model: DecoderLM, tokens: torch.Tensor, **known) -> torch.Tensor:
    """(length, length) of a single row: whether the logits at i have a gradient in the embedding of token j."""
    found = torch.zeros(tokens.shape[1], tokens.shape[1], dtype=torch.bool)
    kept: list[torch.Tensor] = []
    hook = model.embedding.register_forward_hook(lambda _, __, out: kept.append(out))
    for i in range(tokens.shape[1]):
        kept.clear()
        logits = model(tokens, **known)
        (gradient,) = torch.autograd.grad(logits[0, i].square().sum(), kept[0])
        found[i] = gradient[0].abs().sum(dim=-1) > 0
    hook.remove()
    return found


@every
@pytest.mark.parametrize("given", [0, 1, 4, LENGTH])
def test_the_rest_is_causal_and_the_input_sees_itself(mixer, given):
    model = model_of(mixer)
    tokens = torch.randint(13, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    expected = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    assert torch.equal(depends(model, tokens), expected)
    expected[:given, :given] = True
    assert torch.equal(depends(model, tokens, **given_input(model, np.array([given]))), expected)


@every
def test_each_row_has_its_own_input(mixer):
    model = model_of(mixer)
    tokens = torch.randint(13, (3, LENGTH), generator=torch.Generator().manual_seed(2))
    given = np.array([2, 9, 5])
    together = model(tokens, **given_input(model, given))
    for row, length in enumerate(given):
        alone = model(tokens[row : row + 1], mask=Prefix(length=int(length)))
        torch.testing.assert_close(together[row : row + 1], alone)


@every
def test_cached_steps_give_what_one_pass_gives(mixer):
    model, given = model_of(mixer), 4
    tokens = torch.randint(13, (2, LENGTH), generator=torch.Generator().manual_seed(3))
    at = torch.arange(LENGTH).expand(2, -1)
    whole = model(tokens, mask=Prefix(length=given))
    state = model.start(2, LENGTH)
    first, state = model.prefill(tokens[:, :given], at[:, :given], state, Prefix(length=given))
    pieces = [first]
    for t in range(given, LENGTH):
        # With the input named again or not: after it all is causal.
        mask = Prefix(length=given) if t % 2 else None
        logits, state = model.prefill(tokens[:, t : t + 1], at[:, t : t + 1], state, mask)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    with pytest.raises(ConfigError, match="prefix length 4 is longer than the sequence of 3 tokens"):
        model.prefill(tokens[:, :3], at[:, :3], model.start(2, LENGTH), Prefix(length=given))


@every
def test_generation_reads_the_prompt_as_an_input(mixer):
    """Greedy tokens over the cache, chunks asked for, are those of whole passes with the prompt as input."""
    model = model_of(mixer)
    prompt = torch.randint(13, (2, 5), generator=torch.Generator().manual_seed(4))
    expected = prompt
    for _ in range(4):
        logits = model(expected, mask=Prefix(length=5))
        expected = torch.cat([expected, logits[:, -1:].argmax(dim=-1)], dim=1)
    assert torch.equal(generate(model, prompt, 4, chunk=2), expected[:, 5:])
    # Rows of unequal length: padding on the left is no part of the input.
    short = generate(model, [prompt[0, 2:], prompt[1]], 4)
    assert torch.equal(short[1], expected[1, 5:])
    assert torch.equal(short[0], generate(model, prompt[:1, 2:], 4)[0])


def test_who_is_told():
    prefix = np.array([1, 2])
    causal = model_of(GroupedQuery.Config(n_heads=2))
    assert given_input(causal, prefix) == {}
    assert given_input(nn.Linear(2, 2), prefix) == {}
    reader = model_of(MIXERS[0])
    assert given_input(reader, None) == {}
    assert given_input(reader, prefix)["mask"].length.tolist() == [1, 2]
    mixed = DecoderLM.Config(
        n_layers=2,
        d_model=16,
        mixer=(GroupedQuery.Config(n_heads=2), MIXERS[0]),
        feed_forward=FeedForward.Config(d_ff=32),
    )
    assert mixed.reads_input
    assert mixed.causal


def test_an_input_without_positions_has_no_order():
    with pytest.raises(ConfigError, match="cannot tell the order"):
        GroupedQuery.Config(d_model=16, n_heads=2, mask=InputPrefix(), position=NoPosition())
