"""RoPE against a dense rotation matrix, against complex numbers, and against the published decay."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.positions.tables import TABLES


def dense_rotation(position: int, head_dim: int, base: float) -> torch.Tensor:
    """R_m in adjacent pairs, as exp(m G) with the skew generator G."""
    generator = torch.zeros(head_dim, head_dim, dtype=torch.float64)
    for i in range(head_dim // 2):
        theta = base ** (-2 * i / head_dim)
        generator[2 * i, 2 * i + 1], generator[2 * i + 1, 2 * i] = -theta, theta
    return torch.linalg.matrix_exp(position * generator)


@given(st.sampled_from([2, 4, 10, 64]), st.integers(0, 300), st.sampled_from([10.0, 10_000.0, 5e5]))
def test_dense_rotation_matrices(head_dim, position, base):
    x = torch.randn(1, 1, 1, head_dim, dtype=torch.float64)
    turned = Rotary(base=base, pairing=Interleaved()).rotate(x, torch.tensor([[position]]))
    matrix = dense_rotation(position, head_dim, base)
    torch.testing.assert_close(turned.flatten(), matrix @ x.flatten(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(matrix.T, dense_rotation(-position, head_dim, base))


@pytest.mark.parametrize("pairing", [HalfSplit(), Interleaved()], ids=str)
def test_complex_numbers(pairing):
    x, at = torch.randn(2, 3, 7, 10, dtype=torch.float64), torch.randint(0, 5000, (2, 7))
    order = pairing.half_split_order(10)
    pairs = torch.complex(x[..., order[:5]], x[..., order[5:]])
    theta = 10_000.0 ** (-torch.arange(5, dtype=torch.float64) / 5)
    turned = pairs * torch.polar(torch.ones(1, dtype=torch.float64), at[:, None, :, None] * theta)
    expected = torch.empty_like(x)
    expected[..., order[:5]], expected[..., order[5:]] = turned.real, turned.imag
    torch.testing.assert_close(Rotary(pairing=pairing).rotate(x, at), expected)


def test_the_order_of_hugging_face():
    """x cos + rotate_half(x) sin, with cos and sin repeated over both halves."""
    x, at = torch.randn(1, 2, 7, 8), torch.arange(7)[None]
    theta = 10_000.0 ** (-torch.arange(0, 8, 2).double() / 8)
    angles = torch.outer(torch.arange(7).double(), theta)
    angles = torch.cat((angles, angles), dim=-1)
    rotate_half = torch.cat((-x[..., 4:], x[..., :4]), dim=-1)
    expected = x * angles.cos().float() + rotate_half * angles.sin().float()
    torch.testing.assert_close(Rotary().rotate(x, at), expected)


def test_the_sign_of_the_score():
    """<R_m q, R_n k> = q^T R_(n-m) k."""
    q, k = torch.randn(2, 8, dtype=torch.float64)
    rope = Rotary(pairing=Interleaved())
    at = torch.tensor([[7, 3]])
    turned = rope.rotate(torch.stack((q, k))[None, None], at)[0, 0]
    torch.testing.assert_close(turned[0] @ turned[1], q @ dense_rotation(3 - 7, 8, 10_000.0) @ k)


@pytest.mark.parametrize(
    ("distance", "published"),
    [(0, 32.50), (1, 31.54), (16, 15.77), (64, 10.09), (128, 9.27), (256, 6.54), (1024, 4.02)],
)
def test_the_decay_of_the_bound(distance, published):
    """f(delta) = mean over j of |S_j|, S_j = sum of the first j phases, head_dim 128."""
    phases = distance * Rotary().frequencies(128)
    sums = torch.polar(torch.ones_like(phases), phases).cumsum(dim=0)
    assert float(sums.abs().mean()) == pytest.approx(published, abs=0.005)


@given(st.integers(0, 5000), st.integers(0, 99))
def test_abels_bound(distance, seed):
    """|<q, R k>| <= max |h_(i+1) - h_i| sum |S_(i+1)|, h_i the complex products of the pairs."""
    numbers = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, 32, generator=numbers, dtype=torch.complex128)
    phases = distance * Rotary().frequencies(64)
    products = q * k.conj()
    sums = torch.polar(torch.ones_like(phases), phases).cumsum(dim=0)
    score = (products * torch.polar(torch.ones_like(phases), phases)).sum().real
    steps = torch.cat((products, torch.zeros(1))).diff().abs()
    assert float(score.abs()) <= float(steps.max() * sums.abs().sum()) + 1e-9


def test_large_positions_keep_their_phase():
    """float32 vectors at a position where a float32 angle would be off by a tenth of a turn."""
    x, far = torch.randn(1, 1, 1, 64), torch.tensor([[20_000_019]])
    error = (Rotary().rotate(x, far).double() - Rotary().rotate(x.double(), far)).abs().max()
    assert float(error) < 1e-6


def test_no_position_is_rotation_by_nothing():
    x = torch.randn(2, 3, 7, 8)
    assert torch.equal(NoPosition().rotate(x, torch.arange(7)[None]), x)
    assert torch.equal(Rotary().rotate(x, torch.zeros(1, 7)), x)
    assert Rotary().sees_order
    assert not NoPosition().sees_order


def test_fractional_positions():
    x = torch.randn(1, 1, 1, 8, dtype=torch.float64)
    half = torch.tensor([[0.5]])
    torch.testing.assert_close(Rotary().rotate(Rotary().rotate(x, half), half), Rotary().rotate(x, torch.tensor([[1]])))


@pytest.mark.parametrize("base", [1.0, 0.5, -10.0])
def test_an_impossible_base(base):
    with pytest.raises(ConfigError, match="expected a number above 1, usually 10000"):
        Rotary(base=base)


def test_an_odd_head():
    with pytest.raises(ConfigError, match="head_dim = 7: rotary positions turn pairs, so it must be even"):
        Rotary().rotate(torch.randn(1, 1, 2, 7), torch.arange(2)[None])


def test_frequencies():
    theta = Rotary(base=100.0).frequencies(6)
    assert theta.dtype == torch.float64
    assert theta.tolist() == pytest.approx([1.0, math.exp(-math.log(100) / 3), math.exp(-2 * math.log(100) / 3)])


def test_a_table_is_made_once_for_the_same_positions(monkeypatch):
    """By queries, keys and all layers of a step; and anew when the positions were changed in place, or are others."""
    made = []
    new_table = Rotary._new_table
    monkeypatch.setattr(Rotary, "_new_table", lambda *given: made.append(1) or new_table(*given))
    at, x = torch.arange(5)[None], torch.randn(2, 3, 5, 8)
    first = Rotary().rotate(x, at)
    assert torch.equal(Rotary().rotate(x, at), first)
    assert len(made) == 1
    at += 3
    moved = Rotary().rotate(x, at)
    assert len(made) == 2
    torch.testing.assert_close(moved, Rotary().rotate(x, torch.arange(3, 8)[None]))
    assert len(made) == 3
    Rotary(base=50.0).rotate(x, at)
    Rotary().rotate(x.double(), at)
    Rotary().rotate(x[..., :6], at)
    assert len(made) == 6


def test_tables_go_with_their_positions():
    at = torch.arange(5)[None]
    Rotary().rotate(torch.randn(1, 1, 5, 8), at)
    before = len(TABLES)
    del at
    assert len(TABLES) == before - 1


@pytest.mark.parametrize("causal", [True, False])
def test_kept_positions_gather_no_tables(causal):
    """However often they are asked for, by however many equal maps, and changed in place."""
    at, x = torch.arange(9)[None], torch.randn(1, 2, 9, 8)
    sizes = []
    for _ in range(3):
        Rotary(map=ReRoPE(window=3)).pieces(x, x, at, at, causal)
        sizes.append(len(TABLES[at]))
        at += 1
    assert sizes == [sizes[0]] * 3


def test_tables_of_inference_mode_are_not_kept():
    """A tensor made there may not be saved for a backward pass."""
    at, x = torch.arange(5)[None], torch.randn(1, 2, 5, 8, requires_grad=True)
    with torch.inference_mode():
        Rotary().rotate(x, at)
    Rotary().rotate(x, at).sum().backward()
    assert x.grad is not None
