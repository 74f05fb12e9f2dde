"""Distances as the sources of the maps print them, or as their formulas give by hand."""

import pytest
import torch

from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.self_extend import SelfExtend
from paribus.positions.maps.streaming import StreamingLLM


def distances(map, m, keys):
    n = torch.tensor(keys)
    return map(torch.full_like(n, m), n).tolist()


def test_positions_inside_the_cache_of_streaming_llm():
    """Section 3.2 of the paper: with 0, 1, 2, 3, 6, 7, 8 in the cache, the token 9 stands at 7 and they at 0 to 6."""
    assert distances(StreamingLLM(window=4, sinks=4), 9, [0, 1, 2, 3, 6, 7, 8, 9]) == [7, 6, 5, 4, 3, 2, 1, 0]
    seen = torch.zeros(10, dtype=torch.bool)
    for piece in StreamingLLM(window=4, sinks=4).causal_pieces():
        seen |= piece.pairs(torch.full((10,), 9), torch.arange(10))
    assert seen.nonzero().flatten().tolist() == [0, 1, 2, 3, 6, 7, 8, 9]


def test_self_extend_within_what_a_short_model_knows():
    """Neighbours 4, groups of 2: a model trained to 7 tokens meets distances up to 6 in a text of 10."""
    map = SelfExtend(window=4, group=2)
    assert distances(map, 9, list(range(10))) == [6, 6, 5, 5, 4, 4, 3, 2, 1, 0]
    assert map.reach(7) == 10


def test_dual_chunks_of_six_for_a_model_trained_to_ten():
    """The paper's example: queries stand at 0..5 for their chunk, at 6, 7, 8, 9, 9, 9 for the one before, else at 9."""
    map = DualChunk(chunk=6, train_length=10)
    assert distances(map, 11, [6, 7, 11]) == [5, 4, 0]
    for m, stands in zip(range(6, 12), (6, 7, 8, 9, 9, 9), strict=True):
        assert distances(map, m, [0, 5]) == [stands, stands - 5]
    assert distances(map, 12, [0, 5]) == [9, 4]


def test_leaky_distances():
    assert distances(LeakyReRoPE(window=4, factor=2.0), 20, [20, 17, 16, 15, 0]) == [0, 3, 4, 4.5, 12]
    # The inverse form: trained at 17 with slope 4 beyond 4, it meets distances up to 52.
    assert distances(LeakyReRoPE(window=4, factor=0.25), 16, [16, 12, 0]) == [0, 4, 52]


def test_lm_infinite_keeps_far_sinks_at_the_window():
    assert distances(LMInfinite(window=5, sinks=2), 30, [30, 26, 1, 0]) == [0, 4, 5, 5]


@pytest.mark.parametrize("window", [2048, 4096, 6144])
def test_how_far_a_leaky_map_reaches(window):
    """A slope that brings the first of 16384 tokens to 8192 keeps all distances within what training met."""
    map = LeakyReRoPE(window=window, factor=(16384 - window) / (8192 - window))
    (far,) = distances(map, 16384, [0])
    assert far == pytest.approx(8192)
