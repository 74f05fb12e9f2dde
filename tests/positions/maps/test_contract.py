"""Every map: its pieces realise f, no pair has two owners, and the tiles of a piece are its pairs."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.ops.tiles import trapezoids
from paribus.positions.maps.base import PositionMap
from paribus.positions.rotary import Rotary

EXAMPLES = [example for cls in members(PositionMap) for example in cls.examples]
every = pytest.mark.parametrize("position_map", EXAMPLES, ids=str)
relative = pytest.mark.parametrize("position_map", [one for one in EXAMPLES if one.relative], ids=str)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(PositionMap))


@every
def test_no_pair_has_two_owners(position_map):
    m, n = torch.meshgrid(torch.arange(70), torch.arange(70), indexing="ij")
    owned = sum(piece.pairs(m, n).long() for piece in position_map.pieces())
    assert int(owned.max()) == 1
    assert (owned.diagonal() == 1).all()
    if position_map.sees_all:
        assert (owned == 1).all()
    for piece in position_map.pieces():
        if piece.pairs.ahead:
            assert not piece.pairs(m, n)[m >= n].any()


@every
@pytest.mark.parametrize("shift", [0, 1, 11, 5000])
def test_pieces_realise_f(position_map, shift):
    """query(m) - key(n) = f(m, n) for every owned pair, wherever it lies."""
    m, n = torch.meshgrid(torch.arange(0, 90, 7) + shift, torch.arange(90) + shift, indexing="ij")
    for piece in position_map.pieces():
        key = torch.zeros_like(n) if piece.key is None else piece.key(n)
        realised, owned = piece.query(m) - key, piece.pairs(m, n)
        torch.testing.assert_close(realised[owned].double(), position_map(m, n)[owned].double())


@every
@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 7), (0, 41), (3, 4), (9, 37)])
def test_tiles_are_the_pairs_of_a_piece(position_map, first, start, stop):
    """For keys from any position on and queries from any index on; so are the windows that a mask serves."""
    m, n = torch.meshgrid(torch.arange(start, stop) + first, torch.arange(stop) + first, indexing="ij")
    for piece in position_map.causal_pieces():
        inside = piece.pairs(m, n) & (n <= m)
        expected = {(int(i) + start, int(j)) for i, j in inside.nonzero()}
        tiles = piece.pairs.tiles(first, start, stop)
        for some in (tiles, [part for tile in tiles for part in trapezoids(tile, 3)]):
            pairs = [pair for tile in some for pair in tile.pairs()]
            assert len(pairs) == len(set(pairs))
            assert set(pairs) == expected


@every
@pytest.mark.parametrize("window", [1, 2, 4, 6, 9, 100])
def test_a_window_narrows_a_piece(position_map, window):
    """As a question, in tiles, and in what a query can reach."""
    for piece in position_map.causal_pieces():
        narrow = piece.pairs.within(window)
        assert narrow is not None
        for first, start, stop in [(0, 0, 40), (0, 3, 4), (3, 0, 41), (5, 17, 37)]:
            m, n = torch.meshgrid(torch.arange(start, stop) + first, torch.arange(stop) + first, indexing="ij")
            inside = piece.pairs(m, n) & (m - n < window) & (n <= m)
            assert torch.equal(narrow(m, n) & (n <= m), inside)
            expected = {(int(i) + start, int(j)) for i, j in inside.nonzero()}
            pairs = [pair for tile in narrow.tiles(first, start, stop) for pair in tile.pairs()]
            assert len(pairs) == len(set(pairs))
            assert set(pairs) == expected
            if narrow.reach is not None:
                assert not inside[m - n >= narrow.reach].any()
        for m in range(40):
            if (span := narrow.span(m)) is not None:
                n = torch.arange(m + 1)
                owned = narrow(torch.full_like(n, m), n)
                assert owned.nonzero().flatten().tolist() == list(range(*span))


@every
def test_reach_and_earliest_hold(position_map):
    """What a cache may forget: keys beyond the reach of a piece, and all but the earliest of another."""
    m, n = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    for piece in position_map.causal_pieces():
        owned = piece.pairs(m, n) & (n <= m)
        if piece.pairs.reach is not None:
            assert not owned[m - n >= piece.pairs.reach].any()
        if piece.pairs.earliest is not None:
            assert not owned[n >= piece.pairs.earliest].any()


@every
def test_spans_are_the_pairs_of_one_query(position_map):
    for piece in position_map.causal_pieces():
        for m in range(40):
            if (span := piece.pairs.span(m)) is not None:
                n = torch.arange(m + 1)
                owned = piece.pairs(torch.full_like(n, m), n)
                assert owned.nonzero().flatten().tolist() == list(range(*span))


@relative
def test_f_is_odd_starts_at_zero_and_never_falls(position_map):
    distances = torch.arange(-5000, 5001)
    f = position_map(distances, torch.zeros_like(distances)).double()
    assert float(f[5000]) == 0
    assert (f.diff() >= 0).all()
    torch.testing.assert_close(f.flip(0), -f)
    assert position_map.is_identity == torch.equal(f, distances.double())
    torch.testing.assert_close(position_map(distances + 77, torch.full_like(distances, 77)).double(), f)


@every
@pytest.mark.parametrize("n", [1, 7, 63])
def test_scores_are_those_of_the_mapped_distances(position_map, n):
    """The naive build in float64: one rotation of the query by f(m, n) for every pair that is seen."""
    q, k = torch.randn(2, 1, 2, n, 8, dtype=torch.float64)
    at = torch.arange(n)
    rope = Rotary(base=100.0)
    mapped = position_map(at[:, None].expand(n, n), at[None, :].expand(n, n))
    expected = torch.empty(1, 2, n, n, dtype=torch.float64)
    for row in range(n):
        turned = rope.rotate(q[:, :, row : row + 1].expand(-1, -1, n, -1), mapped[row][None])
        expected[:, :, row] = (turned * k).sum(dim=-1)
    seen = torch.zeros(n, n, dtype=torch.bool)
    for piece in Rotary(base=100.0, map=position_map).pieces(q, k, at[None], at[None], causal=False):
        owned = torch.ones(n, n, dtype=torch.bool) if piece.owns is None else piece.owns[0, 0]
        found = piece.query @ piece.key.transpose(-1, -2)
        if piece.owns is not None:
            torch.testing.assert_close(found[..., owned], expected[..., owned])
        seen |= owned
    assert seen[at[:, None] == at].all()
    assert not position_map.sees_all or seen.all()
