"""NTK-old, NTK-fixed and NTK-mixed: their ends, their values, and how they lie between one another."""

from itertools import pairwise

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.ntk_fixed import NTKFixed
from paribus.positions.scaling.ntk_mixed import NTKMixed
from paribus.positions.scaling.ntk_old import NTKOld
from paribus.positions.scaling.position_interpolation import PositionInterpolation

THETA = torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_values():
    """d = 6, s = 8: NTK-old divides by 8^(i/3), NTK-fixed by 8^((i+1)/3)."""
    close(NTKOld(factor=8)(THETA), [1.0, 0.1 / 2, 0.01 / 4])
    close(NTKFixed(factor=8)(THETA), [1 / 2, 0.1 / 4, 0.01 / 8])


@pytest.mark.parametrize("head_dim", [2, 6, 128])
def test_ntk_old_is_a_base(head_dim):
    close(NTKOld(factor=8)(Rotary().frequencies(head_dim)), Rotary(base=80_000.0).frequencies(head_dim))


@pytest.mark.parametrize("head_dim", [2, 6, 128])
@pytest.mark.parametrize("factor", [2.0, 8.0])
def test_the_slowest_pair_is_divided_by_the_factor(head_dim, factor):
    """By exactly s in the fixed and mixed forms, by less in the old one; the fastest by s^(2/d) in the fixed one."""
    theta = Rotary().frequencies(head_dim)
    close(NTKFixed(factor=factor)(theta)[-1], theta[-1] / factor)
    close(NTKMixed(factor=factor)(theta)[-1], theta[-1] / factor)
    close(NTKFixed(factor=factor)(theta)[0], theta[0] / factor ** (2 / head_dim))
    close(NTKOld(factor=factor)(theta)[-1], theta[-1] / factor ** (1 - 2 / head_dim))


def test_the_mixed_radix_has_known_ends():
    theta = Rotary().frequencies(64)
    close(NTKMixed(factor=8, exponent=1.0)(theta), NTKFixed(factor=8)(theta))
    close(NTKMixed(factor=8, exponent=0.0)(theta), PositionInterpolation(factor=8)(theta))
    close(
        NTKMixed(factor=8)(THETA),
        THETA * torch.exp(-torch.tensor(8.0).double().log() * THETA.new_tensor([1, 2, 3]).div(3) ** 0.625),
    )


def test_their_order():
    """aware >= old >= fixed >= mixed >= interpolation in every pair but the last of `aware`."""
    theta = Rotary().frequencies(64)
    rows = [
        one(theta)
        for one in (NTKOld(factor=8), NTKFixed(factor=8), NTKMixed(factor=8), PositionInterpolation(factor=8))
    ]
    for faster, slower in pairwise(rows):
        assert (faster >= slower * (1 - 1e-12)).all()
    assert not torch.allclose(NTKAware(factor=8)(theta), rows[0])


@pytest.mark.parametrize("cls", [NTKAware, NTKOld])
def test_bases_compose(cls):
    theta = Rotary().frequencies(64)
    close(cls(factor=3)(cls(factor=2)(theta)), cls(factor=6)(theta))


@pytest.mark.parametrize("exponent", [-0.1, 1.1])
def test_an_impossible_mixture(exponent):
    with pytest.raises(ConfigError, match=r"expected 0 \(interpolation\) to 1 \(NTK-fixed\)"):
        NTKMixed(factor=2, exponent=exponent)
