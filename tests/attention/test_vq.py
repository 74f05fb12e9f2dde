"""Quantised keys: blocks against all pairs, values and gradients; states; the un-turned far part; what is refused."""

import copy
from dataclasses import replace

import pytest
import torch

from paribus.attention.attend import attend
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.document import Document
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.masks.visible import Visible
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.log_length import LogLength
from paribus.attention.vq import VQAttention
from paribus.core.errors import ConfigError, InputError
from paribus.layers.parameters import draw
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Piece
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.quantizers.ema import EMA
from paribus.quantizers.vq import VQ

CODES = EMA.Config(n_codes=7)
BIASED = VQAttention.Config(d_model=24, n_heads=4, quantizer=CODES, block=4)
PLAIN = replace(BIASED, biased=0)
TURNED = replace(BIASED, position=Rotary(map=ReRoPE(window=3)))
WIDE = replace(TURNED, position=Rotary(map=ReRoPE(window=4)), biased=2)
SCALED = replace(BIASED, scale=LogLength(base=4.0))
ALL = pytest.mark.parametrize(
    "config", [BIASED, PLAIN, TURNED, WIDE, SCALED], ids=["bias", "plain", "rerope", "both", "log"]
)
CPU = torch.device("cpu")


def build(config, dtype=torch.float64):
    layer = config.build()
    draw(layer, 0)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.normal_()
    return layer.to(dtype).eval()


def inputs(n, dtype=torch.float64, batch=2):
    return torch.randn(batch, n, 24, dtype=dtype), torch.arange(n)[None]


def slow(layer, x, at):
    q, raw, v, scale = layer._project(x, 0)
    k, _, _ = layer.quantizer(raw)
    return layer._out(layer._dense(q, k, v, at.expand(len(x), -1), None, scale))


@ALL
@pytest.mark.parametrize("n", [1, 3, 4, 8, 9, 23])
def test_blocks_are_exact(config, n):
    """Values to 1e-10 and the gradients of input and weights, where the far part is held fixed in both."""
    layer = build(config)
    x, at = inputs(n)
    found = []
    for program in (layer, lambda x, at: slow(layer, x, at)):
        own = x.clone().requires_grad_()
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        y = program(own, at)
        found.append([y, *torch.autograd.grad(y.square().sum(), [own, *weights], allow_unused=n == 1)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)
    single = build(config, torch.float32)
    torch.testing.assert_close(single(x.float(), at), slow(single, x.float(), at), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_it_is_softmax_attention_over_quantised_keys():
    """Without bias and position: the dense reference of every attention, given the codes as keys."""
    layer = build(PLAIN)
    x, at = inputs(23)
    q, raw, v, scale = layer._project(x, 0)
    codes = layer.quantizer(raw).vectors
    mask = torch.ones(23, 23, dtype=torch.bool).tril()
    expected = attend([Piece(q, codes, None)], v, scale=scale, normalizer=Softmax(), mask=mask)
    torch.testing.assert_close(layer(x, at), layer._out(expected), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_rerope_by_hand():
    """Pair by pair: the code as it is and R_w q at distances w and more, both turned by their places below."""
    layer = build(TURNED)
    x, at = inputs(19, batch=1)
    q, raw, v, scale = layer._project(x, 0)
    codes, turn = layer.quantizer(raw).vectors, Rotary().rotate
    scores = torch.full((1, 4, 19, 19), -torch.inf, dtype=x.dtype)
    for m in range(19):
        for n in range(m + 1):
            turned = turn(q[:, :, m : m + 1], torch.tensor([[min(m - n, 3)]]))
            scores[:, :, m, n] = scale * (turned * codes[:, :, n : n + 1]).sum(-1)[..., 0]
    torch.testing.assert_close(layer(x, at), layer._out(scores.softmax(-1) @ v), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_size_of_a_block_changes_nothing():
    """Values only: which keys get gradients is the block's to say."""
    x, at = inputs(41)
    small, state = build(replace(BIASED, biased=4)), {}
    for block in (4, 5, 16, 64):
        layer = replace(BIASED, biased=4, block=block).build().double().eval()
        layer.load_state_dict(small.state_dict())
        state[block] = layer(x, at)
    for block in (5, 16, 64):
        torch.testing.assert_close(state[block], state[4], rtol=1e-10, atol=1e-10)


@ALL
@pytest.mark.parametrize("cuts", [(16, 16, 16, 16), (1,) * 64, (3, 13, 40, 1, 7)], ids=["four", "ones", "odd"])
@torch.no_grad()
def test_a_carried_state(config, cuts):
    """One pass of 64 tokens is four passes of 16, or any other."""
    layer = build(config)
    x, at = inputs(64)
    state = layer.start(2, 64, torch.float64, CPU)
    sizes, parts = {state.nbytes()}, []
    for part, places in zip(x.split(cuts, 1), at.split(cuts, 1)):
        y, state = layer.prefill(part, places, state)
        parts.append(y)
        sizes.add(state.nbytes())
    torch.testing.assert_close(torch.cat(parts, 1), layer(x, at), rtol=1e-10, atol=1e-10)
    assert sizes == {2 * config.state_bytes(64, 8)}


@torch.no_grad()
def test_one_code_for_all_keys():
    """Every weight is alike: the mean of all values so far."""
    layer = build(replace(PLAIN, quantizer=EMA.Config(n_codes=1)))
    x, at = inputs(23)
    v = layer.value(x)
    mean = v.cumsum(1) / torch.arange(1, 24)[:, None]
    torch.testing.assert_close(layer(x, at), layer.out(mean), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_large_logits_and_many_tokens_stay_finite():
    layer = build(PLAIN, torch.float32)
    layer.query.weight.mul_(1e3)
    x, at = inputs(300, torch.float32)
    y = layer(x, at)
    assert y.isfinite().all()
    torch.testing.assert_close(y, slow(layer, x, at), rtol=1e-2, atol=2e-3)


@torch.no_grad()
def test_left_padding_over_many_blocks():
    """The padding is older than the near blocks, and must not be in the table; what it reads is nothing."""
    for config in (BIASED, TURNED):
        layer = build(config)
        x, _ = inputs(30)
        valid = torch.arange(30)[None] >= torch.tensor([[0], [7]])
        at = (valid.cumsum(1) - 1).clamp(min=0)
        y = layer(x, at, Visible(valid=valid))
        torch.testing.assert_close(y[1:, 7:], layer(x[1:, 7:], torch.arange(23)[None]), rtol=1e-10, atol=1e-10)
        assert (y[1, :7] == 0).all()


@torch.no_grad()
def test_both_directions():
    layer = build(replace(PLAIN, mask=Bidirectional()))
    x, at = inputs(23)
    torch.testing.assert_close(layer(x, at), slow(layer, x, at), rtol=1e-10, atol=1e-10)
    valid = torch.arange(23)[None] >= torch.tensor([[0], [7]])
    hidden = layer(x, at, Visible(valid=valid))
    torch.testing.assert_close(hidden[1:, 7:], layer(x[1:, 7:], at[:, 7:]), rtol=1e-10, atol=1e-10)
    with pytest.raises(InputError, match="sees later tokens and cannot generate"):
        layer.start(1, 9, torch.float64, CPU)


@pytest.mark.parametrize("quantizer", [CODES, VQ.Config(n_codes=7)], ids=["ema", "vq"])
@pytest.mark.parametrize("padded", [False, True])
def test_both_directions_have_one_gradient(quantizer, padded):
    """In training, by the table and by all pairs: values through the means, keys by the riding loss alone."""
    x, at = inputs(23)
    valid = torch.arange(23)[None] >= torch.tensor([[0], [7 if padded else 0]])
    found = []
    for mask in (Visible(valid=valid) if padded else None, Visible(valid=valid) & Bidirectional()):
        layer = build(replace(PLAIN, quantizer=quantizer, mask=Bidirectional())).train()
        own = x.clone().requires_grad_()
        y = layer(own, at, mask)
        (y.square() * valid[..., None]).sum().backward()
        weights = {name: weight.grad for name, weight in layer.named_parameters() if weight.requires_grad}
        found.append({"y": y, "x": own.grad, **weights, "codes": layer.quantizer.codes.detach()})
        assert layer.value.weight.grad.abs().max() > 1e-3
        assert layer.key.weight.grad.abs().max() > 0
    for name, one in found[0].items():
        torch.testing.assert_close(found[1][name], one, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")
    still = build(replace(PLAIN, quantizer=EMA.Config(n_codes=7, commitment=0.0), mask=Bidirectional())).train()
    still(x, at).square().sum().backward()
    assert still.key.weight.grad is None or (still.key.weight.grad == 0).all()


@pytest.mark.parametrize("quantizer", [CODES, VQ.Config(n_codes=7)], ids=["ema", "vq"])
@pytest.mark.parametrize("mask", [Causal(), Bidirectional()], ids=str)
@pytest.mark.parametrize("by_pairs", [False, True])
def test_padding_moves_no_code_and_adds_no_loss(quantizer, mask, by_pairs):
    """Whatever stands on hidden places: the same codes, the same loss, and those of the tokens alone."""
    x, _ = inputs(11)
    at = torch.zeros(2, 11, dtype=torch.int64)
    valid = torch.arange(11)[None] >= torch.tensor([[11], [6]])  # of the first row nothing is left
    shown = Visible(valid=valid) & Causal() if by_pairs and mask.causal else Visible(valid=valid)
    shown = shown & Bidirectional() if by_pairs else shown
    found = []
    for given, places, seen in (
        (x.masked_fill(~valid[..., None], 0.0), at, shown),
        (x.masked_fill(~valid[..., None], 100.0), at, shown),
        (x[1:, 6:], at[1:, 6:], None),
    ):
        layer = build(replace(PLAIN, quantizer=quantizer, mask=mask)).train()
        given = given.clone().requires_grad_()
        (layer(given, places, seen).sum() * 0).backward()  # nothing but the loss that rides
        whole = given.grad[-1:, -5:]
        found.append([layer.quantizer.codes.detach(), layer.key.weight.grad, whole, layer.quantizer.codes.grad])
        if isinstance(quantizer, EMA.Config):
            found[-1].append(layer.quantizer.usage)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            assert (one is None) == (two is None)
            if one is not None:
                torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-10)


@ALL
def test_in_training_a_call_reads_by_the_codes_that_it_began_with(config):
    """The codes move during the call: near and far keys, and the slow twin, are read by those before."""
    x, at = inputs(23)
    start, found = build(config).train(), []
    for program in (lambda layer: layer(x, at), lambda layer: layer(x, at, Causal() & Causal())):  # blocks, all pairs
        layer = copy.deepcopy(start)
        before = layer.quantizer.codes.clone()
        y = program(layer)
        y.square().sum().backward()
        assert not torch.equal(layer.quantizer.codes, before)
        found.append([y, *(weight.grad for weight in layer.parameters() if weight.requires_grad)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


def test_training_moves_codes_and_pulls_keys():
    layer = build(replace(BIASED, quantizer=EMA.Config(n_codes=7, commitment=0.5)))
    x, at = inputs(23)
    layer.train()
    before = layer.quantizer.codes.clone()
    y = layer(x, at)
    (y.sum() * 0).backward()  # nothing but the loss that rides
    assert not torch.equal(layer.quantizer.codes, before)
    assert layer.key.weight.grad.abs().max() > 0
    assert (layer.query.weight.grad == 0).all()


def test_the_table_has_no_gradient():
    """A value older than two blocks gets none, one within them does."""
    layer = build(BIASED)
    x, at = inputs(12)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x, at)[:, 11].sum(), x)
    reached = (gradient != 0).any(-1)[0]
    assert reached.tolist() == [False] * 4 + [True] * 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_heads": 0}, "n_heads = 0: expected at least 1"),
        ({"n_heads": 5}, r"d_model \(24\) must be divisible by n_heads \(5\), or give head_dim"),
        ({"block": 0, "biased": 0}, "block = 0: expected at least 1 token"),
        ({"biased": 5}, "biased = 5: expected 0 to block = 4 distances"),
        ({"position": Rotary()}, "Rotary turns far keys, which then are no finite set and cannot be quantised"),
        ({"position": Rotary(map=ReRoPE(window=5))}, "window = 5: expected at most block = 4"),
        ({"quantizer": EMA.Config(n_codes=7, width=5)}, "quantizer.width = 5 in a layer of 4 heads of 6: leave it out"),
        ({"quantizer": EMA.Config(n_codes=7, groups=2)}, "quantizer.groups = 2 in a layer of 4 heads"),
        ({"mask": Causal() & SlidingWindow(window=3)}, "And: sums over keys know Causal.. and Bidirectional.. only"),
        ({"mask": Bidirectional(), "biased": 2}, "without a causal mask all keys are far and none has a place"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(BIASED, **change)


def test_a_state_of_another_layer_and_a_mask_of_pairs():
    layer = build(BIASED)
    x, at = inputs(9)
    other = build(replace(BIASED, block=5)).start(2, 9, torch.float64, CPU)
    with pytest.raises(InputError, match="4 heads, 7 codes and blocks of 4 cannot read this CodeTable state"):
        layer.prefill(x, at, other)
    with pytest.raises(InputError, match="Document hides a key from some queries"):
        layer.prefill(x, at, layer.start(2, 9, torch.float64, CPU), Document(ids=((0,) * 5 + (1,) * 4,) * 2))


@torch.no_grad()
def test_normed_keys_are_what_is_quantised():
    layer = build(replace(PLAIN, scale=KeyNorm(), quantizer=VQ.Config(n_codes=5), position=NoPosition()))
    x, at = inputs(23)
    torch.testing.assert_close(layer(x, at), slow(layer, x, at), rtol=1e-10, atol=1e-10)
    _, raw, _, _ = layer._project(x, 0)
    torch.testing.assert_close(raw.norm(dim=-1), torch.ones_like(raw[..., 0]), rtol=1e-3, atol=1e-3)
