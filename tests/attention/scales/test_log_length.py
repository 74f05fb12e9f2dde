"""(ln n / ln base) / sqrt(d): nothing changes at n = base, one key is harmless."""

import math

import pytest
import torch

from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.scales.log_length import LogLength
from paribus.core.errors import ConfigError


@pytest.mark.parametrize("base", [2.0, 10.0, 64.0, 100.0, 512.0, 1000.0, 4096.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_at_the_base_it_is_the_usual_scale_bit_for_bit(base, dtype):
    q, k = torch.randn(2, 1, 2, 3, 8).to(dtype)
    found = LogLength(base=base)(q, k, torch.full((1, 1, 3), int(base)))
    for one, other in zip(found, InverseSqrt()(q, k, None)):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_values():
    q = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    new_q, new_k, factor = LogLength(base=512.0)(q, q, torch.tensor([[[1, 2, 512, 4096]]]))
    assert factor == 0.5
    assert torch.equal(new_k, q)
    expected = [0, math.log(2) / math.log(512), 1, math.log(4096) / math.log(512)]
    assert new_q[0, 0, :, 0].tolist() == pytest.approx(expected)


def test_clamped_at_one():
    q = torch.ones(1, 1, 4, 4)
    new_q, _, _ = LogLength(base=64.0, at_least_one=True)(q, q, torch.tensor([[[0, 1, 64, 4096]]]))
    assert new_q[0, 0, :, 0].tolist() == pytest.approx([1, 1, 1, 2])


def test_long_texts_in_bfloat16():
    """n itself must not be rounded to 8 bits: 511 and 512 differ."""
    q = torch.ones(1, 1, 3, 4).bfloat16()
    new_q, _, _ = LogLength(base=2.0)(q, q, torch.tensor([[[257, 100_001, 2]]]))
    assert new_q[0, 0, :, 0].tolist() == pytest.approx([math.log2(257), math.log2(100_001), 1], rel=2**-8)


@pytest.mark.parametrize("base", [1.0, 0.5])
def test_an_impossible_base(base):
    with pytest.raises(ConfigError, match="expected a length above 1, such as the trained length"):
        LogLength(base=base)
