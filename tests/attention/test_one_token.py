"""One query over raw keys: each piece on its own range is what all pieces on all keys give."""

import pytest
import torch

from paribus.attention.attend import attend
from paribus.attention.one_token import one_token
from paribus.core.discovery import members
from paribus.normalizers.softmax import Softmax
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.scaling.yarn import YaRN

OTHERS = (DualChunk, LMInfinite, StreamingLLM)  # cut at absolute positions, or hide some keys
MAPS = [one for cls in members(PositionMap) for one in cls.examples if not isinstance(one, OTHERS)]


def both(position, n, mask=None, padding=(0, 0)):
    q, k, v = torch.randn(2, 4, 1, 6), torch.randn(2, 2, n, 6), torch.randn(2, 2, n, 6)
    k_positions = (torch.arange(n) - torch.tensor(padding)[:, None]).clamp(min=0)
    at = {"q_positions": k_positions[:, -1:], "k_positions": k_positions}
    fast = one_token(q, k, v, position=position, **at, scale=0.4, normalizer=Softmax(), mask=mask)
    pieces = position.pieces(q, k, at["q_positions"], at["k_positions"], causal=True)
    return fast, attend(pieces, v, scale=0.4, normalizer=Softmax(), mask=mask)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("map", [one for one in MAPS if not one.is_identity], ids=repr)
@pytest.mark.parametrize("n", [1, 5, 23])
def test_it_is_what_the_dense_evaluator_gives(map, n, scaled):
    position = Rotary(base=100.0, map=map)
    if scaled:
        position = Rotary(base=100.0, map=map, scaling=YaRN(factor=2.0, train_length=16))
    torch.testing.assert_close(*both(position, n), rtol=1e-4, atol=1e-5)


def test_padding_on_the_left():
    mask = (torch.arange(17) >= torch.tensor([[0], [6]]))[:, None, None]
    for map in MAPS:
        if not map.is_identity:
            fast, dense = both(Rotary(base=100.0, map=map), 17, mask, (0, 6))
            torch.testing.assert_close(fast, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "position",
    [
        Rotary(),
        Rotary(scaling=DynamicNTK(train_length=4)),
        *(Rotary(map=one) for cls in OTHERS for one in cls.examples),
    ],
    ids=repr,
)
def test_what_is_left_to_the_dense_evaluator(position):
    fast, _ = both(position, 23)
    assert fast is None


def test_far_keys_are_not_turned(monkeypatch):
    """What a plain step costs, and the rotation of the last w keys."""
    turned = []
    rotate = Rotary.rotate
    monkeypatch.setattr(Rotary, "rotate", lambda self, x, *at: (turned.append(x.shape[2]), rotate(self, x, *at))[1])
    position = Rotary(map=ReRoPE(window=5))
    q, k = torch.randn(1, 2, 1, 6), torch.randn(1, 2, 40, 6)
    at = torch.arange(40)[None]
    told = {"q_positions": at[:, -1:], "k_positions": at, "scale": 0.4, "normalizer": Softmax(), "mask": None}
    one_token(q, k, k, position=position, **told)
    assert sorted(turned) == [1, 1, 5]
