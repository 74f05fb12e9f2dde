"""Latent attention: two forms of one function, its formula by hand, its cache, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.masks.base import Mask
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.document import Document
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.attention.scales.cosine import Cosine
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.log_length import LogLength
from paribus.core.errors import ConfigError, InputError
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.parameters import draw
from paribus.normalizers.sparsemax import Sparsemax
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.theory import flops

CONFIG = Latent.Config(d_model=24, n_heads=4, latent=10, rope_dim=4)
X, AT = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(0)), torch.arange(9)[None]
CPU = torch.device("cpu")
VARIANTS = [
    CONFIG,
    *Latent.Config.examples,
    replace(CONFIG, query_latent=8, latent_norm=RMSNorm.Config()),
    replace(CONFIG, position=Rotary(map=ReRoPE(window=3))),
    replace(CONFIG, scale=LogLength(base=4.0)),
    replace(CONFIG, normalizer=Sparsemax()),
    replace(CONFIG, mask=Bidirectional()),
    replace(CONFIG, mask=Causal() & SlidingWindow(window=3)),
]


def build(config: Latent.Config, dtype: torch.dtype = torch.float64) -> Latent:
    layer = config.build()
    draw(layer, 0)
    return layer.to(dtype)


def both(layer: Latent, x: torch.Tensor, mask: Mask | None = None) -> list[list[torch.Tensor]]:
    """Output and gradients of both forms."""
    found = []
    for form in ("expanded", "absorbed"):
        own = x.clone().requires_grad_()
        y = layer(own, AT, mask, form=form)
        weights = list(layer.parameters())
        found.append([y, *torch.autograd.grad(y.square().sum(), [own, *weights])])
    return found


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_the_absorbed_form_is_the_expanded_one(config):
    """Outputs and the gradients of the input and of every matrix: 1e-10 in float64, 1e-4 in float32."""
    layer = build(config)
    expanded, absorbed = both(layer, X.double())
    torch.testing.assert_close(absorbed, expanded, rtol=1e-10, atol=1e-10)
    layer = build(config, torch.float32)
    torch.testing.assert_close(layer(X, AT, form="absorbed"), layer(X, AT), rtol=1e-4, atol=1e-4)


def test_the_forms_agree_where_documents_are_packed():
    layer = build(CONFIG)
    expanded, absorbed = both(layer, X.double(), Document(ids=((0, 0, 0, 1, 1, 1, 1, 2, 2),) * 2))
    torch.testing.assert_close(absorbed, expanded, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_drift_of_bfloat16():
    """Neither form is worse than the other by more than half; both within 3 % of the output's size."""
    config = Latent.Config(d_model=256, n_heads=4, latent=64, rope_dim=32)
    layer, x = build(config), torch.randn(2, 33, 256)
    at = torch.arange(33)[None]
    short = layer.bfloat16()
    exact = short.double()(x.bfloat16().double(), at)
    layer.bfloat16()
    errors = {
        form: float((layer(x.bfloat16(), at, form=form).double() - exact).norm() / exact.norm())
        for form in ("expanded", "absorbed")
    }
    assert max(errors.values()) < 0.03
    assert errors["absorbed"] < 1.5 * errors["expanded"]
    assert errors["expanded"] < 1.5 * errors["absorbed"]


def by_hand(layer: Latent, x: torch.Tensor) -> torch.Tensor:
    """The formulas of the module's head, one pair at a time."""
    config, n = layer.config, x.shape[1]
    heads, d, r, dv = config.n_heads, config.d_head, config.rope_dim, config.d_value
    c = x @ layer.latent.weight.T
    turned = Rotary().rotate((x @ layer.key_rope.weight.T)[:, None], AT)[:, 0]
    outputs = []
    for h in range(heads):
        w_q = layer.query.weight[h * (d + r) : (h + 1) * (d + r)]
        q = x @ w_q[:d].T
        q_r = Rotary().rotate((x @ w_q[d:].T)[:, None], AT)[:, 0]
        k = c @ layer.key.weight[h * d : (h + 1) * d].T
        v = c @ layer.value.weight[h * dv : (h + 1) * dv].T
        scores = torch.full((len(x), n, n), -torch.inf, dtype=x.dtype)
        for i in range(n):
            for j in range(i + 1):
                scores[:, i, j] = ((q[:, i] * k[:, j]).sum(-1) + (q_r[:, i] * turned[:, j]).sum(-1)) * (d + r) ** -0.5
        outputs.append(scores.softmax(-1) @ v)
    return torch.cat(outputs, dim=-1) @ layer.out.weight.T


@torch.no_grad()
def test_by_hand():
    for config in (CONFIG, replace(CONFIG, head_dim=5, value_dim=7)):
        layer = build(config)
        torch.testing.assert_close(layer(X.double(), AT), by_hand(layer, X.double()), rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("form", ["auto", "expanded", "absorbed"])
@pytest.mark.parametrize("config", [config for config in VARIANTS if config.causal], ids=str)
def test_any_form_reads_the_cache(config, form):
    layer = build(config)
    x = X.double()
    state = layer.start(2, 9, torch.float64, CPU)
    chunks = [
        layer.prefill(x[:, part], AT[:, part], state, form=form)[0]
        for part in (slice(0, 4), slice(4, 5), slice(5, 8), slice(8, 9))
    ]
    torch.testing.assert_close(torch.cat(chunks, dim=1), layer(x, AT), rtol=1e-10, atol=1e-10)


def test_the_cache_of_a_token():
    """DeepSeek-V2: 512 + 64 numbers, 1152 bytes of 16 bit a token and layer, against 65,536 of its 128 heads."""
    config = Latent.Config(
        d_model=5120,
        n_heads=128,
        head_dim=128,
        latent=512,
        rope_dim=64,
        query_latent=1536,
        latent_norm=RMSNorm.Config(),
    )
    assert config.state_bytes(1, 2) == 1152
    assert GroupedQuery.Config(d_model=5120, n_heads=128, head_dim=128).state_bytes(1, 2) == 65_536
    state = build(CONFIG).start(3, 11, torch.float32, CPU)
    assert state.rows.untyped_storage().nbytes() == 3 * 11 * (10 + 4) * 4


def test_the_normed_latent_is_what_is_stored():
    layer = build(replace(CONFIG, latent_norm=RMSNorm.Config()))
    state = layer.start(2, 9, torch.float64, CPU)
    layer.prefill(X.double(), AT, state)
    size = state.rows[..., :10].square().mean(-1)
    torch.testing.assert_close(size, torch.ones_like(size), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_form_is_chosen_by_flops(counted_flops):
    """Published sizes: absorbed for one token, expanded for a prompt; and the counts are those of the formulas."""
    big = Latent.Config(d_model=64, n_heads=16, head_dim=128, latent=512, rope_dim=64).build()
    assert big.cheaper(1, 8192) == "absorbed"
    assert big.cheaper(8192, 8192) == "expanded"
    layer, x = build(CONFIG, torch.float32), X[:1]
    shape = (4, 6, 6, 10, 4)
    outside = 2 * 3 * (CONFIG.projections - 10 * 4 * (6 + 6))
    for form, formula in (("expanded", flops.latent_expanded), ("absorbed", flops.latent_absorbed)):
        state = layer.start(1, 9, torch.float32, CPU)
        layer.prefill(x[:, :6], AT[:, :6], state)
        spent = counted_flops(lambda form=form, state=state: layer.prefill(x[:, 6:], AT[:, 6:], state, form=form))
        assert spent == outside + formula(3, 9, *shape)


@torch.no_grad()
def test_the_rotary_part_sees_distances_only():
    layer = build(CONFIG)
    torch.testing.assert_close(layer(X.double(), AT + 1000), layer(X.double(), AT), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_heads": 0}, "n_heads = 0: expected at least 1"),
        ({"n_heads": 5}, r"d_model \(24\) must be divisible by n_heads \(5\), or give head_dim"),
        ({"latent": 0}, "latent = 0: expected at least 1"),
        ({"latent": 49}, "latent = 49 is wider than what it compresses, n_heads .* = 48: give at most 48"),
        ({"query_latent": 41}, r"query_latent = 41: expected 1 to n_heads \(head_dim \+ rope_dim\) = 40"),
        ({"rope_dim": 3}, "head_dim = 3: rotary positions turn pairs, so it must be even"),
        ({"rope_dim": -2}, "rope_dim = -2: expected 0 or more"),
        ({"value_dim": 0}, "head_dim and value_dim: expected at least 1"),
        ({"scale": KeyNorm()}, "KeyNorm changes keys, which are not held in full here"),
        ({"scale": Cosine(strength=3.0)}, "Cosine changes keys"),
        ({"rope_dim": 0, "mask": Bidirectional()}, "nothing tells the order of the tokens under Bidirectional"),
        ({"position": NoPosition(), "mask": Bidirectional()}, "nothing tells the order of the tokens"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change).build()


def test_another_cache():
    layer = build(CONFIG)
    other = build(replace(CONFIG, latent=12)).start(2, 9, torch.float64, CPU)
    keys = GroupedQuery.Config(d_model=24, n_heads=4).build().start(2, 9, torch.float64, CPU)
    for state in (other, keys):
        with pytest.raises(InputError, match="a latent attention of 14 numbers a token cannot read this"):
            layer.prefill(X.double(), AT, state)


def test_a_form_that_there_is_not():
    layer = build(Latent.Config.examples[0])
    at, x = torch.arange(3)[None], torch.randn(1, 3, 24, dtype=next(layer.parameters()).dtype)
    said = "form = 'absorb': expected one of 'auto', 'expanded', 'absorbed'"
    with pytest.raises(InputError, match=said):
        layer(x, at, form="absorb")
    state = layer.start(1, 3, x.dtype, x.device)
    with pytest.raises(InputError, match=said):
        layer.prefill(x, at, state, form="absorb")
    assert state.length == 0
    torch.testing.assert_close(layer(x, at, form="auto"), layer(x, at))
