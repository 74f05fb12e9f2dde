"""|q - kv| < window."""

import pytest
import torch

from paribus.attention.masks.causal import Causal
from paribus.attention.masks.sliding_window import SlidingWindow
from paribus.core.errors import ConfigError


def test_values():
    at = torch.arange(5)
    both = SlidingWindow(window=2).dense(1, 1, at, at)[0, 0]
    assert both.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]
    behind = (Causal() & SlidingWindow(window=3)).dense(1, 1, at, at)[0, 0]
    assert behind.sum(dim=-1).tolist() == [1, 2, 3, 3, 3]


def test_a_window_of_one_token_is_causal():
    assert SlidingWindow(window=1).causal
    assert not SlidingWindow(window=2).causal


def test_an_empty_window():
    with pytest.raises(ConfigError, match="window = 0: expected at least 1"):
        SlidingWindow(window=0)
