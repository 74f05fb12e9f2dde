"""Generation over a cache gives what reading the whole text again would give."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.linear import LinearAttention
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError, ParibusError
from paribus.generation.filters.temperature import Temperature
from paribus.generation.generate import Stream, generate
from paribus.generation.samplers.draw import Draw
from paribus.generation.samplers.greedy import Greedy
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.linear import Linear
from paribus.layers.mixer import MixerConfig
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

EVERY = [example for cls in members(MixerConfig) for example in cls.examples if example.causal]


def model(seed=0, **mixer):
    return built_of(GroupedQuery.Config(n_heads=4, n_kv_heads=2, **mixer), seed)


def built_of(mixer, seed=0, d_model=16):
    config = DecoderLM.Config(
        n_layers=2,
        d_model=d_model,
        vocab_size=11,
        mixer=mixer,
        feed_forward=FeedForward.Config(d_ff=24, activation=SquaredReLU()),
    )
    built = config.build()
    draw(built, seed)
    with torch.no_grad():
        for weight in built.parameters():
            weight.mul_(3)  # far from even odds, so that the most likely token is no matter of rounding
    return built.eval()


def prompt(batch=3, length=5, seed=0):
    return torch.randint(11, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def slowly(model, tokens, count):
    """The specification: read everything again for every token."""
    for _ in range(count):
        logits = model(tokens)[:, -1]
        tokens = torch.cat([tokens, logits.argmax(dim=-1, keepdim=True)], dim=1)
    return tokens[:, -count:]


@pytest.mark.parametrize(
    "mixer",
    [
        {"position": Rotary()},
        {"position": NoPosition()},
        {"position": Rotary(map=ReRoPE(window=4))},
        {"position": Rotary(), "mask": Causal() & SlidingWindow(window=3)},
    ],
    ids=["rotary", "no position", "rerope", "sliding window"],
)
@pytest.mark.parametrize("length", [1, 5])
def test_cached_generation_is_the_most_likely_text(mixer, length):
    built = model(**mixer)
    given = prompt(length=length)
    assert torch.equal(generate(built, given, 13), slowly(built, given, 13))


@pytest.mark.parametrize(
    "mixer", [*EVERY, (GroupedQuery.Config(n_heads=4), LinearAttention.Config(n_heads=4))], ids=str
)
def test_every_mixer_generates(mixer):
    """Prompts of one length and of several, in chunks."""
    built = built_of(mixer, d_model=16 if isinstance(mixer, tuple) else mixer.d_model)
    assert torch.equal(generate(built, prompt(), 13, chunk=2), slowly(built, prompt(), 13))
    prompts = [prompt(batch=1, length=n, seed=n)[0] for n in (1, 7, 4)]
    together = generate(built, prompts, 5, chunk=3)
    for row, one in enumerate(prompts):
        assert torch.equal(together[row : row + 1], generate(built, one[None], 5))


def test_tokens_come_one_by_one():
    built = model(position=Rotary())
    coming = Stream(built, prompt(), 4)
    tokens = [next(coming) for _ in range(4)]
    assert [token.shape for token in tokens] == [(3,)] * 4
    assert next(coming, None) is None
    assert torch.equal(torch.stack(tokens, dim=1), generate(built, prompt(), 4))


def test_a_row_does_not_depend_on_its_neighbours():
    built, given = model(position=Rotary()), prompt(batch=4)
    together = generate(built, given, 9)
    for row in range(4):
        assert torch.equal(generate(built, given[row : row + 1], 9), together[row : row + 1])


def test_a_seed_repeats_a_text():
    built, warm = model(position=Rotary()), Draw(filters=(Temperature(temperature=2.0),))
    one = generate(built, prompt(), 20, warm, seed=1)
    assert torch.equal(generate(built, prompt(), 20, warm, seed=1), one)
    assert not torch.equal(generate(built, prompt(), 20, warm, seed=2), one)
    cold = Draw(filters=(Temperature(temperature=1e-4),))
    assert torch.equal(generate(built, prompt(), 20, cold, seed=1), generate(built, prompt(), 20, Greedy()))


def test_generation_leaves_no_gradient_and_every_mode_as_it_was():
    """Also between the tokens of a stream, in one that is left, and after an error."""
    built = model(position=Rotary()).train()
    built.layers[1].eval()  # as someone does who keeps a layer from learning
    before = [module.training for module in built.modules()]
    inside = []
    built.layers[0].register_forward_hook(lambda *_: inside.append(built.training))
    built.layers[0].feed_forward.register_forward_hook(lambda layer, *_: inside.append(layer.training))
    assert not generate(built, prompt(), 2).requires_grad
    assert [module.training for module in built.modules()] == before
    next(Stream(built, prompt(), 4))
    assert [module.training for module in built.modules()] == before
    assert inside
    assert not any(inside)
    with torch.no_grad():
        built.norm.gain.fill_(torch.nan)
    with pytest.raises(ParibusError):
        generate(built, prompt(), 2)
    assert [module.training for module in built.modules()] == before


def untied():
    """A model whose embedding may be spoilt without spoiling what it writes: token 0 is never the most likely one."""
    built = model(position=Rotary())
    built.head = Linear(16, 11)
    with torch.no_grad():
        built.head.weight.copy_(built.embedding.weight)
        built.head.weight[0] = 0
    return built


def test_logits_that_are_no_numbers_are_told_with_their_place():
    built, given = untied(), torch.tensor([[1, 2, 3]])
    whole = generate(built, given, 12)[0].tolist()
    new = next(token for token in whole if token not in (1, 2, 3))
    with torch.no_grad():
        built.embedding.weight[new] = torch.nan
    # It is chosen as before, and then read.
    with pytest.raises(
        ParibusError, match=rf"new token {whole.index(new) + 2} of prompt 1 cannot be chosen: its logits"
    ):
        generate(built, given, 12)
    for sampler in (Greedy(), Draw(), Draw(filters=(Temperature(temperature=0.5),))):
        with pytest.raises(ParibusError, match=r"new token 1 of prompt 2 cannot .* float32: look at the weights$"):
            generate(built, torch.tensor([[1, 2], [1, new]]), 3, sampler)


def test_numbers_that_overflow_sixteen_bits():
    built = untied()
    with torch.no_grad():
        built.head.weight.mul_(1e4)
        built.norm.gain.mul_(1e4)
    with pytest.raises(ParibusError, match=r"numbers overflow in float16: look at .* or read the model in float32$"):
        generate(built.half(), torch.tensor([[1, 2]]), 3)


def test_a_row_that_has_ended_may_read_what_it_likes():
    built, given = untied(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    whole = generate(built, given, 12)
    assert 0 not in whole
    end = next(token for token in whole[0].tolist() if token != whole[1, 0])
    expected = generate(built, given, 12, end=[end])
    with torch.no_grad():
        built.embedding.weight[0] = torch.nan  # what stands for the tokens of an ended row
    assert torch.equal(generate(built, given, 12, end=[end]), expected)


def test_a_model_that_sees_later_tokens_cannot_generate():
    with pytest.raises(InputError, match=r"Bidirectional sees later tokens and cannot generate: use a causal mask"):
        generate(model(position=Rotary(), mask=Bidirectional()), prompt(), 3)


def test_prompts_that_cannot_be_read():
    built = model(position=Rotary())
    with pytest.raises(
        InputError, match=r"shape \(0,\): expected \(batch, length\) with at least one token in each row"
    ):
        generate(built, torch.zeros((1, 0), dtype=torch.int64), 3)
    with pytest.raises(InputError, match=r"shape \(5,\)"):
        generate(built, torch.zeros(5, dtype=torch.int64), 3)
    with pytest.raises(InputError, match="tokens 0 to 11, the model knows 0 to 10: encode it with the tokenizer"):
        generate(built, torch.tensor([[0, 11]]), 3)
    with pytest.raises(InputError, match="tokens -1 to 4"):
        generate(built, torch.tensor([[-1, 4]]), 3)
    with pytest.raises(InputError, match=r"a prompt holds torch.float32 numbers: expected the int64 tokens"):
        generate(built, torch.tensor([[1.5, 2.0]]), 3)
    with pytest.raises(InputError, match=r"a prompt holds torch.bool numbers"):
        generate(built, [torch.tensor([True, False])], 3)
    with pytest.raises(
        InputError, match=r"a prompt is a list: expected int64 tokens in a tensor, such as torch.tensor"
    ):
        generate(built, [[1, 2, 3]], 3)
    with pytest.raises(InputError, match="there is no prompt: give at least one"):
        generate(built, [], 3)
    with pytest.raises(ConfigError, match="max_new_tokens = 0: expected at least 1"):
        generate(built, prompt(), 0)
    with pytest.raises(ConfigError, match="chunk = 0: expected at least 1 token"):
        generate(built, prompt(), 1, chunk=0)


@pytest.mark.parametrize(
    "mixer",
    [
        {"position": Rotary()},
        {"position": NoPosition()},
        {"position": Rotary(map=ReRoPE(window=4))},
        {"position": Rotary(), "mask": Causal() & SlidingWindow(window=3)},
    ],
    ids=["rotary", "no position", "rerope", "sliding window"],
)
def test_prompts_of_several_lengths_are_read_as_if_alone(mixer):
    built = model(**mixer)
    prompts = [prompt(batch=1, length=n, seed=n)[0] for n in (1, 7, 4)]
    together = generate(built, prompts, 9)
    for row, one in enumerate(prompts):
        assert torch.equal(together[row : row + 1], generate(built, one[None], 9))


def test_a_drawn_row_does_not_depend_on_its_neighbours():
    built, warm = model(position=Rotary()), Draw(filters=(Temperature(temperature=3.0),))
    together = generate(built, prompt(batch=3), 12, warm, seed=4)
    assert torch.equal(generate(built, prompt(batch=3)[:2], 12, warm, seed=4), together[:2])
    assert len({tuple(row) for row in generate(built, prompt(batch=1).expand(3, -1), 12, warm).tolist()}) == 3


@pytest.mark.parametrize("chunk", [1, 2, 5, 6])
def test_a_prompt_read_in_chunks(chunk):
    built = model(position=Rotary(map=ReRoPE(window=4)))
    assert torch.equal(generate(built, prompt(), 7, chunk=chunk), generate(built, prompt(), 7))


def test_a_row_ends_with_its_end_token():
    built = model(position=Rotary())
    whole = generate(built, prompt(), 12)
    end = int(whole[0, 3])
    cut = generate(built, prompt(), 12, end=[end])
    for row in range(3):
        told, full = cut[row].tolist(), whole[row].tolist()
        here = full.index(end) + 1 if end in full else len(told)
        assert told == (full[:here] + [-1] * 12)[: len(told)]
    assert generate(built, prompt()[:1], 12, end=[end]).shape[1] == whole[0].tolist().index(end) + 1
