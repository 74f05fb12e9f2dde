"""Key norm, query norm and cosine: which length they forget, and that they agree with 1/sqrt(d) at the start."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.attention.scales.cosine import Cosine
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.query_norm import QueryNorm
from paribus.attention.scales.unit import unit
from paribus.core.errors import ConfigError


def logits(scale, q, k):
    q, k, factor = scale(q, k, None)
    return factor * q @ k.transpose(-1, -2)


@given(st.floats(0.1, 1e4), st.integers(0, 99))
def test_which_length_is_forgotten(factor, seed):
    q, k = torch.randn(2, 1, 2, 7, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    same = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(logits(KeyNorm(), q, factor * k), logits(KeyNorm(), q, k), **same)
    torch.testing.assert_close(logits(QueryNorm(), factor * q, k), logits(QueryNorm(), q, k), **same)
    cosine = Cosine(strength=20.0)
    torch.testing.assert_close(logits(cosine, factor * q, 3 * k), logits(cosine, q, k), **same)
    # The other length still matters, in proportion.
    torch.testing.assert_close(logits(KeyNorm(), factor * q, k), factor * logits(KeyNorm(), q, k))
    torch.testing.assert_close(logits(QueryNorm(), q, factor * k), factor * logits(QueryNorm(), q, k))


def test_key_norm_is_the_plain_score_of_unit_keys():
    """And no 1/sqrt(d) on top."""
    q, k = torch.randn(2, 1, 2, 7, 16, dtype=torch.float64)
    expected = q @ (k / k.norm(dim=-1, keepdim=True)).transpose(-1, -2)
    torch.testing.assert_close(logits(KeyNorm(), q, k), expected, rtol=1e-6, atol=1e-6)
    expected = (q / q.norm(dim=-1, keepdim=True)) @ k.transpose(-1, -2)
    torch.testing.assert_close(logits(QueryNorm(), q, k), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [KeyNorm(), QueryNorm()], ids=str)
def test_they_agree_with_the_usual_scale_at_the_start(scale):
    """Unit-variance coordinates have length about sqrt(d): slope of one logit on the other near 1."""
    q, k = torch.randn(2, 1, 1, 500, 256)
    usual, own = logits(InverseSqrt(), q, k).flatten(), logits(scale, q, k).flatten()
    slope = float((usual * own).sum() / (usual * usual).sum())
    assert slope == pytest.approx(1, abs=0.02)


@given(st.floats(1e-3, 1e3), st.floats(0.1, 100), st.integers(0, 99))
def test_cosine_logits_are_bounded(size, strength, seed):
    q, k = size * torch.randn(2, 1, 2, 7, 4, generator=torch.Generator().manual_seed(seed))
    found = logits(Cosine(strength=strength), q, k).abs().max()
    assert float(found) <= strength * (1 + 1e-5)


def test_cosine_strength_for_a_length():
    """4 ln n with n half of the trained length: 22.18 for 512."""
    assert Cosine.for_length(512).strength == pytest.approx(22.18, abs=0.005)
    assert Cosine.for_length(512, coefficient=3.5).strength == pytest.approx(3.5 * math.log(256))
    q = torch.randn(1, 1, 3, 8)
    torch.testing.assert_close(
        logits(Cosine(strength=5.0), q, 9 * q).diagonal(dim1=-2, dim2=-1), torch.full((1, 1, 3), 5.0)
    )


@pytest.mark.parametrize("strength", [0.0, -1.0])
def test_impossible_strengths(strength):
    with pytest.raises(ConfigError, match="expected a positive number, such as 4 ln n"):
        Cosine(strength=strength)
    with pytest.raises(ConfigError, match="train_length = 2: expected more than 2"):
        Cosine.for_length(2)


def test_a_zero_key_stays_zero():
    k = torch.zeros(3, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit(k).sum(), k)
    assert torch.equal(unit(k), torch.zeros(3, 8))
    assert gradient.isfinite().all()


def test_unit_vectors_are_computed_wide():
    """The squares of 16-bit numbers would overflow or vanish."""
    for dtype, size in ((torch.float16, 3e4), (torch.bfloat16, 1e18), (torch.float32, 1e15)):
        lengths = unit(torch.full((5, 7), size, dtype=dtype)).double().norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones(5).double(), rtol=4e-3, atol=0)
