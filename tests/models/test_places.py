"""Text and images in a decoder: RoPE on text bit by bit, distances alone count, cached steps are one pass."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.core.config import from_dict, to_dict
from paribus.core.errors import ConfigError, InputError
from paribus.data.synthetic.patch_above import PatchAbove
from paribus.generation.generate import generate
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.positions.alibi import ALiBi
from paribus.positions.no_position import NoPosition
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.placing.fake_row import FakeRow
from paribus.positions.placing.tied import Tied
from paribus.positions.rotary import Rotary
from paribus.positions.rotary_2d import Rotary2D
from paribus.training.recipe import Recipe
from paribus.training.stacked import train_stacked

TASK = PatchAbove(widths=(2, 3), patches=9)
MARKS = {"image": TASK.image, "sizes": TASK.sizes, "largest": TASK.largest}
LENGTH = 23
PLACINGS = [
    Tied(**MARKS),
    Tied(**MARKS, mode="fractional"),
    Tied(**MARKS, mode="v2"),
    FakeRow(**MARKS),
]
every = pytest.mark.parametrize("placing", PLACINGS, ids=str)
tied = pytest.mark.parametrize("placing", PLACINGS[:3], ids=str)


def config_of(*positions) -> DecoderLM.Config:
    mixers = tuple(GroupedQuery.Config(n_heads=2, n_kv_heads=1, position=position) for position in positions)
    return DecoderLM.Config(
        n_layers=2,
        d_model=16,
        mixer=mixers[0] if len(mixers) == 1 else mixers,
        feed_forward=FeedForward.Config(d_ff=32),
        vocab_size=TASK.vocab_size,
    )


def model_of(*positions, dtype=torch.float64) -> DecoderLM:
    model = config_of(*positions).build()
    draw(model, 0)
    return model.to(dtype).eval()


def pictures(rows: int) -> torch.Tensor:
    return torch.from_numpy(TASK.prepare().windows("dev", rows, LENGTH).tokens)


@torch.no_grad()
@tied
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_text_is_read_as_rope_reads_it(placing, dtype):
    """The same weights, bit by bit, in one pass and token by token; an image is read otherwise."""
    tokens = torch.randint(TASK.letters, (3, 11), generator=torch.Generator().manual_seed(1))
    for pairing in ({}, {"pairing": Interleaved()}):
        plain = model_of(Rotary(**pairing), dtype=dtype)
        both = model_of(Rotary2D(placing=placing, **pairing), dtype=dtype)
        assert torch.equal(both(tokens), plain(tokens))
        assert torch.equal(both.hidden(tokens), plain.hidden(tokens))
        assert torch.equal(generate(both, tokens, 4), generate(plain, tokens, 4))
    assert not torch.equal(both(pictures(2)), plain(pictures(2)))


@torch.no_grad()
def test_a_fake_row_reads_text_otherwise():
    tokens = torch.randint(TASK.letters, (3, 11), generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(model_of(Rotary2D(placing=FakeRow(**MARKS)))(tokens), model_of(Rotary())(tokens))


@torch.no_grad()
@every
def test_only_distances_count(placing):
    """Moving every token along both axes changes nothing."""
    model, tokens = model_of(Rotary2D(placing=placing)), pictures(3)
    at = torch.arange(LENGTH)[None]
    here = model(tokens)
    torch.testing.assert_close(model(tokens, at + 1234), here, rtol=1e-9, atol=1e-10)
    places = placing(tokens, at)
    bare = model_of(Rotary2D())
    assert torch.equal(bare(tokens, places), here)
    moved = bare(tokens, places + torch.tensor([77, 1000]))
    torch.testing.assert_close(moved, here, rtol=1e-9, atol=1e-10)
    assert not torch.allclose(bare(tokens, places * 2), here)


@torch.no_grad()
@every
@pytest.mark.parametrize("cuts", [[5], [6, 7, 8], [1, 2, 13, 20], list(range(1, LENGTH))], ids=str)
def test_cached_steps_give_what_one_pass_gives(placing, cuts):
    model, tokens = model_of(Rotary2D(placing=placing)), pictures(3)
    at, state, found = torch.arange(LENGTH)[None], model.start(3, LENGTH), []
    for low, high in zip([0, *cuts], [*cuts, LENGTH], strict=True):
        logits, state = model.prefill(tokens[:, low:high], at[:, low:high], state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), model(tokens))


@torch.no_grad()
@every
def test_generation_goes_on_through_an_image(placing):
    """From prompts of unequal length that end in the middle of their images, as whole passes would."""
    model = model_of(Rotary2D(placing=placing))
    prompts = [pictures(2)[0, :14], pictures(2)[1, 3:15]]
    for prompt, new in zip(prompts, generate(model, prompts, 6, chunk=5), strict=True):
        expected = prompt[None]
        for _ in range(6):
            expected = torch.cat([expected, model(expected, last=1)[:, -1:].argmax(dim=-1)], dim=1)
        assert torch.equal(new, expected[0, len(prompt) :])


@torch.no_grad()
def test_each_layer_reads_places_of_its_own():
    """Layers that count, that place in one way and in another, side by side; written down and read back."""
    tied, other = PLACINGS[0], PLACINGS[3]
    config = config_of(Rotary(), Rotary2D(placing=tied))
    assert from_dict(DecoderLM.Config, to_dict(config)) == config
    at, tokens = torch.arange(LENGTH)[None], pictures(2)
    first, second = model_of(Rotary(), Rotary2D(placing=tied)).places(tokens, at)
    assert first is at
    assert torch.equal(second, tied(tokens, at))
    first, second = model_of(Rotary2D(placing=other), Rotary2D(placing=tied)).places(tokens, at)
    assert torch.equal(first, other(tokens, at))
    assert torch.equal(second, tied(tokens, at))
    same = model_of(Rotary2D(placing=tied)).places(tokens, at)
    assert same[0] is same[1]  # so that one table serves both layers
    model = model_of(NoPosition(), Rotary2D())
    assert not torch.equal(model(tokens, second), model(tokens))


def test_it_can_be_trained_in_a_stack():
    models = [model_of(Rotary2D(placing=PLACINGS[0]), dtype=torch.float32) for _ in range(2)]
    batches = [TASK.prepare().batches(seed, 4, LENGTH) for seed in range(2)]
    outcomes = train_stacked(models, batches, Recipe(batch=4), learning_rate=1e-2, steps=2)
    assert not any(outcome.diverged for outcome in outcomes)


def test_bad_input():
    tokens, at = pictures(1), torch.arange(LENGTH)[None]
    places = PLACINGS[0](tokens, at)
    for position, name in ((Rotary(), "Rotary"), (ALiBi(), "ALiBi")):
        with pytest.raises(InputError, match=rf"positions \(1, 23, 2\): {name} reads one number a token"):
            model_of(position)(tokens, places)
    with pytest.raises(InputError, match=r"positions \(1, 23, 3\): expected two coordinates a token"):
        model_of(Rotary2D())(tokens, places[..., [0, 1, 1]])
    latent = Latent.Config(n_heads=2, latent=12, rope_dim=4)
    with pytest.raises(InputError, match="Latent reads one number a token"):
        replace(config_of(Rotary()), mixer=latent).build()(tokens, places)
    with pytest.raises(ConfigError, match="Latent reads one position a token, its position code has a placing"):
        replace(config_of(Rotary()), mixer=replace(latent, position=Rotary2D(placing=PLACINGS[0])))
    model = model_of(Rotary2D(placing=PLACINGS[0]))
    with pytest.raises(InputError, match="there is room for 5 tokens, 23 are asked for"):
        model.prefill(tokens, at, model.start(1, 5))
    for n in (1, LENGTH):
        with pytest.raises(InputError, match="started for a batch of 2 cannot read a batch of 1"):
            model.prefill(tokens[:, :n], at[:, :n], model.start(2, LENGTH))
