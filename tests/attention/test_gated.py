"""The gated unit by hand, with both kinds of weights; what it refuses."""

from dataclasses import replace

import pytest
import torch

from paribus.attention.gated import GatedUnit
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.scales.log_length import LogLength
from paribus.core.errors import ConfigError, InputError
from paribus.layers.parameters import draw
from paribus.normalizers.softmax import Softmax
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary

CONFIG = GatedUnit.Config(d_model=24, key_dim=8, value_dim=31)
X = torch.randn(2, 9, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
AT = torch.arange(9)[None]


def build(config):
    layer = config.build()
    draw(layer, 0)
    with torch.no_grad():
        for each in (layer.query, layer.key):
            each.gain.normal_()
            each.offset.normal_()
    return layer.double()


@pytest.mark.parametrize("published", [True, False], ids=["relu^2", "softmax"])
@torch.no_grad()
def test_by_hand(published):
    config = CONFIG if published else replace(CONFIG, normalizer=Softmax(), scale=LogLength(base=4.0))
    layer = build(config)
    act = torch.nn.functional.silu
    u, v, z = act(X @ layer.gate.weight.T), act(X @ layer.value.weight.T), act(X @ layer.shared.weight.T)
    q = Rotary().rotate((z * layer.query.gain + layer.query.offset)[:, None], AT)[:, 0]
    k = Rotary().rotate((z * layer.key.gain + layer.key.offset)[:, None], AT)[:, 0]
    y = torch.zeros(2, 9, 31, dtype=torch.float64)
    for m in range(9):
        scores = (q[:, m : m + 1] @ k[:, : m + 1].transpose(1, 2))[:, 0] * 8**-0.5
        if published:
            weights = scores.relu().square() / (m + 1)
        else:
            weights = (scores * torch.tensor(m + 1.0).double().log() / torch.tensor(4.0).double().log()).softmax(-1)
        y[:, m] = (weights.unsqueeze(-1) * v[:, : m + 1]).sum(1)
    torch.testing.assert_close(layer(X, AT), (u * y) @ layer.out.weight.T)


def test_gains_and_offsets_are_drawn_as_the_identity_and_not_decayed():
    layer = CONFIG.build()
    draw(layer, 0)
    for each in (layer.query, layer.key):
        assert (each.gain == 1).all()
        assert (each.offset == 0).all()
        assert each.gain.ndim == each.offset.ndim == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key_dim": 0}, "key_dim = 0: expected at least 1"),
        ({"key_dim": 7}, "head_dim = 7: rotary positions turn pairs"),
        ({"value_dim": 0}, "value_dim = 0: expected at least 1"),
        ({"position": NoPosition(), "mask": Bidirectional()}, "NoPosition under Bidirectional cannot tell the order"),
    ],
)
def test_impossible_layers(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change)


def test_another_cache():
    state = GroupedQuery.Config(d_model=24, n_heads=4).build().start(2, 9, torch.float64, torch.device("cpu"))
    with pytest.raises(InputError, match="a gated unit of 39 numbers a token cannot read this"):
        build(CONFIG).prefill(X, AT, state)
