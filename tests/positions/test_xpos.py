"""xPos: RoPE times a decay that depends on the distance."""

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.xpos import XPos


def test_each_pair_decays_with_the_distance():
    """<q', k'> summed pair by pair: RoPE's product times z_i^((m - n)/B)."""
    xpos, rope = XPos(scale=8.0), Rotary()
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    m, n = torch.tensor([[13]]), torch.tensor([[4]])
    plain = rope.rotate(q, m) * rope.rotate(k, n)
    pairs = (plain[..., :4] + plain[..., 4:]).flatten()
    expected = (pairs * xpos.decay(8) ** (9 / 8)).sum()
    torch.testing.assert_close((xpos.rotate(q, m) * xpos.rotate_key(k, n)).sum(), expected)


def test_the_decay():
    torch.testing.assert_close(XPos().decay(4), torch.tensor([0.4, 0.9]).double() / 1.4)


def test_queries_and_keys_are_turned_alike_at_the_start():
    x, zero = torch.randn(1, 1, 3, 8), torch.zeros(1, 3)
    assert torch.equal(XPos().rotate(x, zero), x)
    assert torch.equal(XPos().rotate_key(x, zero), x)


@pytest.mark.parametrize("fields", [{"scale": 0.0}, {"gamma": 0.0}, {"base": 1.0}])
def test_impossible_values(fields):
    with pytest.raises(ConfigError, match=f"{next(iter(fields))} = "):
        XPos(**fields)
