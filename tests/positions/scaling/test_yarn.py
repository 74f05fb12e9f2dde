"""YaRN: two ramps, each against its definition pair by pair, and the temperature."""

import math

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.yarn import YaRN


def reference(head_dim: int, base: float, factor: float, length: int) -> list[float]:
    """The loop of the released code, in plain numbers."""

    def dimension(turns: float) -> float:
        return head_dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(dimension(32)), 0), min(math.ceil(dimension(1)), head_dim - 1)
    found = []
    for i in range(head_dim // 2):
        plain = base ** (-2 * i / head_dim)
        ramp = min(max((i - low) / ((high - low) if high != low else 0.001), 0), 1)
        found.append(plain / factor * ramp + plain * (1 - ramp))
    return found


@pytest.mark.parametrize(
    ("head_dim", "base", "length"), [(128, 1e4, 4096), (64, 1e5, 8192), (64, 1e4, 64), (4, 1e4, 5)]
)
@pytest.mark.parametrize("factor", [1.0, 2.0, 16.0])
def test_the_ramp_of_the_code(head_dim, base, length, factor):
    found = Rotary(base=base, scaling=YaRN(factor=factor, train_length=length)).frequencies(head_dim)
    torch.testing.assert_close(found, torch.tensor(reference(head_dim, base, factor, length), dtype=torch.float64))


def test_the_ramp_of_the_paper():
    """Linear in the turns between 1 and 32."""
    scaling = YaRN(factor=4.0, train_length=4096, ramp="paper")
    turns = torch.tensor([40.0, 32.0, 16.5, 1.0, 0.3], dtype=torch.float64)
    theta = 2 * math.pi * turns / 4096
    kept = torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(scaling.kept(theta), kept)
    torch.testing.assert_close(scaling(theta), theta * torch.tensor([1, 1, 0.625, 0.25, 0.25]).double())


def test_the_two_ramps_are_different_numbers():
    theta = Rotary().frequencies(128)
    code, paper = (YaRN(factor=8.0, train_length=4096, ramp=ramp)(theta) for ramp in ("code", "paper"))
    assert float((code / paper - 1).abs().max()) > 0.5
    assert float(code[0]) == float(paper[0]) == 1.0
    torch.testing.assert_close(code[-1], paper[-1])


def test_the_temperature():
    """cos and sin times 0.1 ln s + 1: scores gain its square."""
    scaling = YaRN(factor=math.e**2, train_length=64)
    assert scaling.magnitude == pytest.approx(1.2)
    x, at = torch.randn(1, 1, 5, 8), torch.arange(5)[None]
    turned = Rotary(scaling=scaling).rotate(x, at)
    torch.testing.assert_close(turned.norm(dim=-1), 1.2 * x.norm(dim=-1))
    assert YaRN(factor=8.0, train_length=64, temperature=0.0).magnitude == 1.0
    assert YaRN(factor=1.0, train_length=64).magnitude == 1.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"slow": 40.0}, r"slow = 40\.0, fast = 32\.0: expected 0 < slow < fast"),
        ({"temperature": -1.0}, r"temperature = -1\.0: expected 0 or more"),
        ({"train_length": 0}, "train_length = 0: expected the trained length"),
        ({"ramp": "linear"}, "ramp"),
    ],
)
def test_impossible_values(fields, words):
    with pytest.raises(ConfigError, match=words):
        YaRN(**{"factor": 2.0, "train_length": 64} | fields)


def test_a_single_pair_has_no_ramp_of_the_code():
    with pytest.raises(ConfigError, match="use ramp='paper'"):
        Rotary(scaling=YaRN(factor=2.0, train_length=64)).frequencies(2)
