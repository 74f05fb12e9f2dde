"""ReRoPE: clip(delta, -w, w)."""

import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.positions.maps.rerope import ReRoPE


def test_values():
    distances = torch.tensor([-9, -3, -2, 0, 1, 2, 3, 4, 1000])
    assert ReRoPE(window=3)(distances, torch.zeros_like(distances)).tolist() == [-3, -3, -2, 0, 1, 2, 3, 3, 3]


def test_the_far_branch_begins_at_the_window():
    """Both branches agree there, so that the border is no off-by-one."""
    near, far, ahead = (piece.pairs for piece in ReRoPE(window=3).pieces())
    zero = torch.tensor(0)
    assert [bool(near(torch.tensor(d), zero)) for d in (-3, -2, 2, 3)] == [False, True, True, False]
    assert [bool(far(torch.tensor(d), zero)) for d in (2, 3)] == [False, True]
    assert ahead.ahead
    assert not far.ahead


def test_far_keys_are_not_rotated():
    _, far, _ = ReRoPE(window=3).pieces()
    assert far.key is None
    assert far.query(torch.tensor([[5, 6, 700]])).tolist() == [[3, 3, 3]]


@pytest.mark.parametrize("window", [0, -1])
def test_an_impossible_window(window):
    with pytest.raises(ConfigError, match=f"window = {window}: expected at least 1, about half"):
        ReRoPE(window=window)
