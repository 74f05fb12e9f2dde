"""Every map of distances: its pieces realise f, and each distance belongs to exactly one of them."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.positions.maps.base import PositionMap
from paribus.positions.rotary import Rotary

EXAMPLES = [example for cls in members(PositionMap) for example in cls.examples]
every = pytest.mark.parametrize("position_map", EXAMPLES, ids=str)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(PositionMap))


@every
def test_every_distance_belongs_to_exactly_one_piece(position_map):
    distances = torch.arange(-2000, 2001)
    owned = sum(
        torch.ones_like(distances) if piece.owns is None else piece.owns(distances).long()
        for piece in position_map.pieces()
    )
    assert torch.equal(owned, torch.ones_like(distances))
    behind = distances[distances >= 0]
    for piece in position_map.pieces():
        if piece.ahead:
            assert piece.owns is not None
            assert not piece.owns(behind).any()


@every
def test_pieces_realise_f(position_map):
    """query(m) - key(n) = f(m - n) for every owned pair, wherever it lies."""
    m, n = torch.meshgrid(torch.arange(0, 90, 7), torch.arange(0, 90), indexing="ij")
    for shift in (0, 5000):
        for piece in position_map.pieces():
            realised = piece.query(m + shift) - piece.key(n + shift)
            owned = torch.ones_like(m, dtype=torch.bool) if piece.owns is None else piece.owns(m - n)
            torch.testing.assert_close(realised[owned].double(), position_map(m - n)[owned].double())


@every
def test_f_is_odd_starts_at_zero_and_never_falls(position_map):
    distances = torch.arange(-5000, 5001)
    f = position_map(distances).double()
    assert float(f[5000]) == 0
    assert (f.diff() >= 0).all()
    torch.testing.assert_close(f.flip(0), -f)
    assert position_map.is_identity == torch.equal(position_map(distances), distances)


@every
@pytest.mark.parametrize("n", [1, 7, 63])
def test_scores_are_those_of_the_mapped_distances(position_map, n):
    """The naive build in float64: one rotation of the query by f(m - n) for every pair."""
    q, k = torch.randn(2, 1, 2, n, 8, dtype=torch.float64)
    at = torch.arange(n)
    rope = Rotary(base=100.0)
    mapped = position_map(at[:, None] - at[None, :])
    expected = torch.empty(1, 2, n, n, dtype=torch.float64)
    for row in range(n):
        turned = rope.rotate(q[:, :, row : row + 1].expand(-1, -1, n, -1), mapped[row][None])
        expected[:, :, row] = (turned * k).sum(dim=-1)
    pieces = Rotary(base=100.0, map=position_map).pieces(q, k, at[None], at[None], causal=False)
    found = torch.full_like(expected, torch.nan)
    for piece in pieces:
        owned = torch.ones(n, n, dtype=torch.bool) if piece.owns is None else piece.owns(at[:, None] - at[None, :])
        found = torch.where(owned, piece.query @ piece.key.transpose(-1, -2), found)
    torch.testing.assert_close(found, expected)
