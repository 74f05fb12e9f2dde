"""Llama 3: short wavelengths stay, long ones are divided, a smooth mixture in between."""

import math

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.llama3 import Llama3


def reference(theta: float, factor: float, low: float, high: float, length: int) -> float:
    """The released code, one frequency at a time."""
    wavelength = 2 * math.pi / theta
    if wavelength < length / high:
        return theta
    if wavelength > length / low:
        return theta / factor
    smooth = (length / wavelength - low) / (high - low)
    return (1 - smooth) * theta / factor + smooth * theta


@pytest.mark.parametrize("values", [(8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 8192), (2.0, 0.5, 9.0, 100)])
def test_the_released_code(values):
    factor, low, high, length = values
    theta = Rotary(base=5e5).frequencies(128)
    found = Llama3(factor=factor, low=low, high=high, train_length=length)(theta)
    expected = [reference(float(one), factor, low, high, length) for one in theta]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_impossible_borders():
    with pytest.raises(ConfigError, match=r"low = 4\.0, high = 4\.0: expected 0 < low < high"):
        Llama3(low=4.0)
