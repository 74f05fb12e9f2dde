"""theta s^(-2i/(d-2)): first pair untouched, last exactly 1/s, a change of base in between."""

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.ntk_aware import NTKAware


@pytest.mark.parametrize("head_dim", [4, 6, 64, 128])
@pytest.mark.parametrize("factor", [2.0, 8.0, 31.5])
def test_the_ends_and_the_base(head_dim, factor):
    theta = Rotary().frequencies(head_dim)
    new = NTKAware(factor=factor)(theta)
    assert float(new[0]) == float(theta[0])
    assert float(new[-1] * factor / theta[-1]) == pytest.approx(1, abs=1e-15)
    base = 10_000.0 * factor ** (head_dim / (head_dim - 2))
    torch.testing.assert_close(new, Rotary(base=base).frequencies(head_dim), rtol=1e-12, atol=0)


def test_values():
    """d = 8, s = 8: exponents 0, 1/3, 2/3, 1 of the factor."""
    theta = torch.tensor([1.0, 0.1, 0.01, 0.001], dtype=torch.float64)
    torch.testing.assert_close(NTKAware(factor=8)(theta), theta / torch.tensor([1.0, 2.0, 4.0, 8.0]).double())


def test_a_single_pair():
    with pytest.raises(ConfigError, match="at least 4 coordinates"):
        Rotary(scaling=NTKAware(factor=2)).frequencies(2)
