"""Every position code: relative where it says so, the same in pieces and whole, exact at the start."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from paribus.attention.attend import grouped_scores
from paribus.core.discovery import members
from paribus.positions.base import Position
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.pairing.base import Pairing
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.base import Scaling

EXAMPLES = [example for cls in members(Position) for example in cls.examples]
VARIANTS = [
    *(example.build() for example in EXAMPLES),
    *(Rotary(pairing=pairing) for cls in members(Pairing) for pairing in cls.examples),
    *(Rotary(scaling=scaling) for cls in members(Scaling) for scaling in cls.examples if scaling.pairs is None),
    *(Rotary(map=one) for cls in members(PositionMap) for one in cls.examples),
]
SEPARABLE = [position for position in VARIANTS if position.separable]
ISOMETRIC = [position for position in SEPARABLE if position.isometric]

every = pytest.mark.parametrize("position", VARIANTS, ids=str)
relative = pytest.mark.parametrize("position", [one for one in VARIANTS if one.relative], ids=str)
separable = pytest.mark.parametrize("position", SEPARABLE, ids=str)
isometric = pytest.mark.parametrize("position", ISOMETRIC, ids=str)


def scores(position: Position, q: Tensor, k: Tensor, q_at: Tensor, k_at: Tensor, causal: bool = False) -> Tensor:
    """All scores, each from the one piece that owns its pair; NaN where none does."""
    total = torch.full((*q.shape[:3], k.shape[2]), torch.nan, dtype=q.dtype)
    for piece in position.pieces(q, k, q_at, k_at, causal):
        each = grouped_scores(piece.query, piece.key)
        total = each if piece.owns is None else torch.where(piece.owns, each, total)
    bias = position.bias(q.shape[1], q_at, k_at)
    return total if bias is None else total + bias


def magnitude(position: Position) -> float:
    return position.scaling.magnitude if isinstance(position, Rotary) else 1.0


def unit(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(shape, dtype=dtype)
    return x / x.norm(dim=-1, keepdim=True)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Position))


@pytest.mark.parametrize("position", EXAMPLES, ids=str)
def test_parameters_are_counted(position):
    built = position.build()
    weights = built.parameters() if isinstance(built, torch.nn.Module) else []
    assert position.n_parameters() == sum(weight.numel() for weight in weights)


@torch.no_grad()
@relative
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_scores_depend_on_the_distance_only(position, dtype, bound):
    """Also when every position moves by up to 10^4."""
    q, k = unit(2, 4, 9, 16, dtype=dtype), unit(2, 2, 9, 16, dtype=dtype)
    at = torch.stack((torch.arange(9), torch.tensor([0, 1, 2, 5, 9, 33, 63, 64, 700])))
    here = scores(position, q, k, at, at)
    assert not here.isnan().any()
    for shift in (1, 63, 10_000):
        there = scores(position, q, k, at + shift, at + shift)
        assert float((there - here).abs().max()) <= bound


@every
def test_under_a_causal_mask_the_pieces_left_own_every_pair(position):
    q, k = unit(1, 4, 7, 8), unit(1, 2, 7, 8)
    at = torch.arange(7)[None]
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    whole, causal = (scores(position, q, k, at, at, causal=causal) for causal in (False, True))
    torch.testing.assert_close(causal[..., seen], whole[..., seen], equal_nan=True)
    assert not causal.diagonal(dim1=-2, dim2=-1).isnan().any()


@every
@pytest.mark.parametrize("causal", [False, True])
def test_the_price_is_the_number_of_pieces(position, causal):
    q, k, at = unit(1, 1, 3, 8), unit(1, 1, 3, 8), torch.arange(3)[None]
    assert position.score_matrices(causal, 3) == len(position.pieces(q, k, at, at, causal))


@isometric
def test_position_zero_is_the_identity_and_lengths_are_kept(position):
    x = torch.randn(2, 3, 7, 8)
    assert torch.equal(position.rotate(x, torch.zeros(1, 7, dtype=torch.int64)), x * magnitude(position))
    turned = position.rotate(x, torch.randint(0, 10_000, (2, 7)))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1) * magnitude(position))


@isometric
def test_rotations_add_up(position):
    x = torch.randn(1, 2, 7, 8, dtype=torch.float64)
    m, n = torch.randint(0, 5000, (2, 1, 7))
    once = magnitude(position)
    torch.testing.assert_close(position.rotate(position.rotate(x, m), n), position.rotate(x, m + n) * once)
    torch.testing.assert_close(position.rotate(position.rotate(x, m), -m), x * once**2)


@separable
def test_every_sequence_has_its_own_positions(position):
    """Left padding and cached decoding: row b of a batch is turned as if it were alone."""
    x, at = torch.randn(3, 2, 5, 8), torch.randint(0, 99, (3, 5))
    together = position.rotate(x, at)
    for row in range(3):
        alone = position.rotate(x[row : row + 1], at[row : row + 1])
        assert torch.equal(together[row : row + 1], alone)
    same = position.rotate(x, at[:1])
    assert torch.equal(same, position.rotate(x, at[:1].expand(3, -1)))


@every
def test_dtype_and_gradient(position):
    q, k = torch.randn(1, 4, 5, 4, dtype=torch.float64), torch.randn(1, 2, 5, 4, dtype=torch.float64)
    at = torch.arange(5)[None] * 3
    assert torch.autograd.gradcheck(
        lambda q, k: scores(position, q, k, at, at).nan_to_num(), (q.requires_grad_(), k.requires_grad_())
    )
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        pieces = position.pieces(q.to(dtype), k.to(dtype), at, at, causal=False)
        assert {piece.query.dtype for piece in pieces} | {piece.key.dtype for piece in pieces} == {dtype}


@separable
def test_bfloat16_is_rounded_once(position):
    """Far positions included: the angle is exact, the product is rounded to the nearest bfloat16."""
    x = torch.randn(1, 1, 50, 64).bfloat16()
    at = torch.arange(50)[None] * 200
    exact = position.rotate(x.double(), at)
    error = (position.rotate(x, at).double() - exact).abs()
    assert (error <= 2**-8 * exact.abs() + 1e-6).all()


def test_a_map_of_distances_is_not_separable():
    assert not replace(Rotary(), map=ReRoPE(window=5)).separable
    assert Rotary().separable
