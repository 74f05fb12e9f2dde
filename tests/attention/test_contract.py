"""Every mixer: in parallel, in chunks and step by step the same; causal by gradient; priced as it is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from paribus.attention import backends
from paribus.attention.gated_chunks import GatedChunks
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.linear import LinearAttention
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.attention.masks.document import Document
from paribus.attention.masks.prefix import Prefix
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.attention.scales.base import Scale
from paribus.attention.vq import VQAttention
from paribus.core.discovery import members
from paribus.core.errors import InputError
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.parameters import draw
from paribus.positions.base import Position
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.base import Scaling
from paribus.quantizers.ema import EMA

EXAMPLES = [example for cls in members(MixerConfig) for example in cls.examples]
GROUPED = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2, head_dim=8)
POSITIONS: list[Position] = [
    *(example for cls in members(Position) for example in cls.examples),
    *(Rotary(map=example) for cls in members(PositionMap) for example in cls.examples),
    *(
        Rotary(scaling=example, pairing=Interleaved())
        for cls in members(Scaling)
        for example in cls.examples
        if example.pairs is None
    ),
]
SCALES: list[Scale] = [example for cls in members(Scale) for example in cls.examples]
LOCAL = Causal() & SlidingWindow(window=3)
CAUSAL = [
    *(example for example in EXAMPLES if example.causal),
    *(replace(GROUPED, position=position) for position in POSITIONS),
    *(replace(GROUPED, scale=scale) for scale in SCALES),
    replace(GROUPED, scale=SCALES[-1], position=POSITIONS[-1], mask=LOCAL),
    replace(GROUPED, mask=PerHead(masks=(Causal(), LOCAL), n_heads=4)),
    replace(GROUPED, mask=Prefix(length=1)),
]
LENGTH, BATCH = 17, 3

every = pytest.mark.parametrize("config", CAUSAL, ids=str)
both_programs = pytest.mark.parametrize("dense_up_to", [0, 10_000], ids=["fused", "dense"])


def build(config: MixerConfig, dtype: torch.dtype = torch.float32) -> Mixer:
    mixer = config.build()
    draw(mixer, 0)
    return mixer.to(dtype)


def inputs(config: MixerConfig, length: int = LENGTH, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Vectors, and positions that differ between the sequences."""
    at = torch.arange(length) + torch.tensor([[0], [5], [1000]])
    return torch.randn(BATCH, length, config.d_model, dtype=dtype), at


def in_chunks(mixer: Mixer, x: Tensor, at: Tensor, chunks: tuple[int, ...], mask: Any = None) -> tuple[Tensor, Any]:
    state = mixer.start(len(x), x.shape[1] + 3, x.dtype, x.device)
    outputs, done = [], 0
    for n in chunks:
        part = slice(done, done + n)
        y, state = mixer.prefill(x[:, part], at[:, part], state, mask)
        outputs.append(y)
        done += n
    return torch.cat(outputs, dim=1), state


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(MixerConfig))


@both_programs
@pytest.mark.parametrize("chunks", [(LENGTH,), (1,) * LENGTH, (7, 1, 2, 6, 1), (16, 1)], ids=str)
@every
@torch.no_grad()
def test_parallel_in_chunks_and_step_by_step(config, chunks, dense_up_to, monkeypatch):
    monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
    mixer = build(config)
    x, at = inputs(config)
    found, _ = in_chunks(mixer, x, at, chunks)
    torch.testing.assert_close(found, mixer(x, at), rtol=1e-5, atol=1e-5)


@every
@torch.no_grad()
def test_the_same_in_float64_to_the_last_digits(config):
    mixer = build(config, torch.float64)
    x, at = inputs(config, dtype=torch.float64)
    found, _ = in_chunks(mixer, x, at, (5, 1, 11))
    torch.testing.assert_close(found, mixer(x, at), rtol=1e-11, atol=1e-11)


@both_programs
@every
def test_no_output_depends_on_a_later_token(config, dense_up_to, monkeypatch):
    monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
    mixer = build(config).eval()  # in training a loss of the layer's own may ride on the output
    x, at = inputs(config, 7)
    x.requires_grad_()
    y = mixer(x, at)
    for place in range(7):
        (gradient,) = torch.autograd.grad(y[:, place].sum(), x, retain_graph=True)
        assert (gradient[:, place + 1 :] == 0).all()
        assert (gradient[:, place] != 0).any()


@every
@torch.no_grad()
def test_each_sequence_of_a_batch_is_on_its_own(config):
    mixer = build(config)
    x, at = inputs(config, 7)
    together = mixer(x, at)
    for row in range(BATCH):
        alone = mixer(x[row : row + 1], at[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 7, 63])
@pytest.mark.parametrize("config", [*CAUSAL, replace(GROUPED, mask=Bidirectional())], ids=str)
def test_price(config, length, counted_flops):
    mixer = build(config)
    assert config.n_parameters() == sum(weight.numel() for weight in mixer.parameters())
    x, at = torch.randn(1, length, config.d_model), torch.arange(length)[None]
    assert config.flops(length) == counted_flops(lambda: mixer(x, at))
    assert config.flops(length, causal=True) <= config.flops(length)


TURNED_LATENT = replace(Latent.Config.examples[0], position=Rotary(map=ReRoPE(window=3)))


@pytest.mark.parametrize("config", [*CAUSAL, TURNED_LATENT], ids=str)
@torch.no_grad()
def test_price_of_a_step(config, counted_flops):
    mixer = build(config)
    x, at = torch.randn(1, LENGTH, config.d_model), torch.arange(LENGTH)[None]
    state = mixer.start(1, LENGTH, x.dtype, x.device)
    for place in range(LENGTH):
        part = slice(place, place + 1)
        counted = counted_flops(lambda part=part: mixer.prefill(x[:, part], at[:, part], state))
        assert config.step_flops(place + 1) == counted, place + 1


@pytest.mark.parametrize(("dtype", "each"), [(torch.float32, 4), (torch.bfloat16, 2)])
@every
@torch.no_grad()
def test_the_state_has_the_bytes_that_are_said(config, dtype, each):
    mixer = build(config, dtype)
    x, at = inputs(config, dtype=dtype)
    for length in (1, 7, LENGTH):
        _, state = in_chunks(mixer, x[:, :length], at[:, :length], (length,))
        assert state.nbytes() == BATCH * config.state_bytes(length, each)


def tensors_of(state: Any) -> list[Tensor]:
    """Every tensor that a state holds."""
    return [value for value in vars(state).values() if isinstance(value, Tensor)]


@every
@torch.no_grad()
def test_the_bytes_are_those_of_the_storage(config):
    """A state that has just enough room owns what it says that it owns, and no more."""
    mixer = build(config)
    x, at = inputs(config)
    state = mixer.start(BATCH, LENGTH, x.dtype, x.device)
    _, state = mixer.prefill(x, at, state)
    storages = {held.untyped_storage().data_ptr(): held.untyped_storage().nbytes() for held in tensors_of(state)}
    assert sum(storages.values()) == state.nbytes() == BATCH * config.state_bytes(LENGTH)


SMOOTH = [example for example in EXAMPLES if example.causal and example.differentiable]
GRADCHECKED = [*SMOOTH, replace(GROUPED, position=POSITIONS[-1])]


@pytest.mark.parametrize("config", GRADCHECKED, ids=str)
def test_gradients_in_float64(config):
    """Of the input and of every weight, against differences, along random directions."""
    mixer = build(config, torch.float64)
    x = torch.randn(2, 5, config.d_model, dtype=torch.float64, requires_grad=True)
    at = torch.arange(5)[None]
    names = [name for name, weight in mixer.named_parameters() if weight.requires_grad]
    weights = [mixer.get_parameter(name).detach().requires_grad_() for name in names]

    def work(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(mixer, dict(zip(names, weights)), (x, at))

    assert torch.autograd.gradcheck(work, (x, *weights), fast_mode=True)


@every
@torch.no_grad()
def test_bfloat16(config):
    """Whole mixer in bfloat16 against float64 with the same rounded weights: 5 % of the size of the output."""
    mixer = build(config, torch.bfloat16)
    x, at = inputs(config)
    exact = mixer.double()(x.bfloat16().double(), at)
    rounded = mixer.bfloat16()(x.bfloat16(), at)
    assert rounded.dtype == torch.bfloat16
    assert float((rounded.double() - exact).square().mean().sqrt()) <= 0.05 * float(exact.square().mean().sqrt())


@both_programs
@every
@torch.no_grad()
def test_left_padding_changes_nothing(config, dense_up_to, monkeypatch):
    """Sequences of 7, 4 and 1 tokens, padded on the left, with positions from their own start; chunked as well."""
    monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
    mixer = build(config)
    x, _ = inputs(config, 7)
    valid = torch.tensor([[0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]]) == 0
    at = (valid.cumsum(dim=1) - 1).clamp(min=0)
    padded = mixer(x, at, Visible(valid=valid))
    chunked, _ = in_chunks(mixer, x, at, (2, 1, 4), Visible(valid=valid))
    assert padded.isfinite().all()
    for row, n in enumerate((7, 4, 1)):
        alone = mixer(x[row : row + 1, 7 - n :], torch.arange(n)[None])
        torch.testing.assert_close(padded[row : row + 1, 7 - n :], alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(chunked[row : row + 1, 7 - n :], alone, rtol=1e-5, atol=1e-5)
    # What a padded place says is nothing, and not a NaN.
    assert (padded[1, :3] == 0).all()


@every
@torch.no_grad()
def test_packed_documents_do_not_see_one_another(config):
    mixer = build(config)
    x = torch.randn(1, 9, config.d_model)
    at = torch.tensor([[0, 1, 2, 3, 0, 0, 1, 2, 3]])
    documents = Document(ids=((0, 0, 0, 0, 1, 2, 2, 2, 2),))
    packed = mixer(x, at, documents)
    for part in (slice(0, 4), slice(4, 5), slice(5, 9)):
        alone = mixer(x[:, part], at[:, part])
        torch.testing.assert_close(packed[:, part], alone, rtol=1e-5, atol=1e-5)


@every
def test_the_gain_softens_the_output_only(config):
    x, at = inputs(config, 7)
    loud, soft = build(config), build(replace(config, residual_gain=0.25))
    torch.testing.assert_close(soft(x, at), loud(x, at) * 0.25)


@every
@torch.no_grad()
def test_a_full_state(config):
    mixer = build(config)
    x, at = inputs(config, 7)
    state = mixer.start(BATCH, 6, x.dtype, x.device)
    if config.state_bytes(7) == config.state_bytes(6):  # a state of constant size is never full
        mixer.prefill(x, at, state)
        return
    with pytest.raises(InputError, match="room for 6 tokens, 7 are asked for"):
        mixer.prefill(x, at, state)


OPEN = [
    replace(GROUPED, mask=Bidirectional()),
    replace(LinearAttention.Config.examples[0], mask=Bidirectional()),
    replace(GatedChunks.Config.examples[0], mask=Bidirectional()),
    VQAttention.Config(d_model=24, n_heads=4, quantizer=EMA.Config(n_codes=7), mask=Bidirectional()),
]


@pytest.mark.parametrize("config", [*CAUSAL, *OPEN], ids=str)
def test_of_nothing_comes_nothing(config):
    """And a state that read nothing goes on as if it had not been asked."""
    mixer = build(config)
    x, at = inputs(config, 7)
    for learns in (True, False):
        nothing, nowhere = x[:, :0].clone().requires_grad_(), at[:, :0]
        y = mixer.train(learns)(nothing, nowhere)
        assert (y.shape, y.dtype) == ((BATCH, 0, config.d_model), x.dtype)
        y.sum().backward()
        assert nothing.grad.shape == nothing.shape
    if config.causal:
        found, state = in_chunks(mixer, x, at, (0, 3, 0, 1, 0, 3, 0))
        assert found.shape == x.shape
        torch.testing.assert_close(found, mixer(x, at), rtol=1e-5, atol=1e-5)
        assert state.nbytes() == BATCH * config.state_bytes(7)


@every
@torch.no_grad()
def test_a_state_of_another_batch(config):
    """Of more or fewer texts, empty or not, for one token or several: said in one way."""
    mixer = build(config)
    x, at = inputs(config, 7)
    for began in (0, 3):
        for rows in (1, 2):
            state = mixer.start(BATCH, 7, x.dtype, x.device)
            _, state = mixer.prefill(x[:, :began], at[:, :began], state)
            for n in (1, 3):
                with pytest.raises(InputError, match=f"started for a batch of 3 cannot read a batch of {rows}: start"):
                    mixer.prefill(x[:rows, :n], at[:rows, :n], state)
    with pytest.raises(InputError, match="started for a batch of 1 cannot read a batch of 3"):
        mixer.prefill(x, at, mixer.start(1, 7, x.dtype, x.device))


@pytest.mark.parametrize(
    "mask",
    [
        Anticausal(),
        Bidirectional(),
        SlidingWindow(window=3),
        Prefix(length=2),
        Causal() | SlidingWindow(window=2),
        PerHead(masks=(Causal(), Anticausal()), n_heads=4),
    ],
    ids=str,
)
def test_what_looks_ahead_does_not_generate(mask):
    config = replace(GROUPED, mask=mask)
    assert not config.causal
    with pytest.raises(InputError, match="sees later tokens and cannot generate: use a causal mask in every layer"):
        build(config).start(1, 7, torch.float32, torch.device("cpu"))
