"""Seen and unseen widths, each counted by itself, in the way of writing that the stream has."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus.core.errors import ConfigError
from paribus.data.synthetic.copy_task import Copy
from paribus.data.synthetic.patch_above import PatchAbove
from paribus.evaluation.grid_widths import GridWidths

TASK = PatchAbove()
METRIC = GridWidths(unseen=(6, 8), length=32, windows=40)


class Above(nn.Module):
    """Says what stood so many tokens before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.weight = width, nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        above = torch.cat([tokens[:, : self.width], tokens[:, : -self.width]], dim=1)
        return nn.functional.one_hot(above, TASK.vocab_size).float() * 50


def widths_of(tokens: np.ndarray) -> np.ndarray:
    return tokens[np.arange(len(tokens)), (tokens == TASK.image).argmax(axis=1) + 2] - TASK.sizes


def test_half_of_the_windows_are_of_unseen_widths():
    windows = METRIC.held_out(TASK.prepare())
    assert windows.tokens.shape == windows.targets.shape == (40, 32)
    assert set(widths_of(windows.tokens[:20])) <= {3, 4, 5}
    assert set(widths_of(windows.tokens[20:])) == {6, 8}
    assert windows.digest != METRIC.held_out(TASK.prepare(), "dev").digest


def test_each_half_is_counted_by_itself():
    windows = METRIC.held_out(TASK.prepare())
    asked = (windows.targets >= 0).sum(axis=1)
    found = METRIC.measure(Above(6), windows)
    width = widths_of(windows.tokens)
    sure = asked[width == 6].sum() / asked[20:].sum()
    # Symbols repeat, so that a wrong place is right now and then.
    assert 0.3 < sure < found["accuracy@unseen"] < sure + 0.2
    assert found["accuracy@seen"] < 0.3
    assert found["loss@unseen"] < found["loss@seen"]


def test_pictures_are_written_as_the_stream_writes_them():
    plain, separated = (METRIC.held_out(PatchAbove(separators=one).prepare()) for one in (False, True))
    assert plain.digest == separated.digest
    assert not (plain.tokens == TASK.image + 2).any()
    assert ((separated.tokens == TASK.image + 2).sum(axis=1) >= 2).all()
    # There the row above is one token farther away.
    assert METRIC.measure(Above(7), separated)["accuracy@unseen"] == pytest.approx(
        METRIC.measure(Above(6), plain)["accuracy@unseen"], abs=0.15
    )


def test_bad_input():
    with pytest.raises(ConfigError, match="windows = 5: expected an even number"):
        GridWidths(unseen=(6,), length=32, windows=5)
    with pytest.raises(ConfigError, match="length = 0"):
        GridWidths(unseen=(6,), length=0)
    with pytest.raises(ConfigError, match=r"the task trains on the widths \[5\]"):
        GridWidths(unseen=(5, 6), length=32).held_out(TASK.prepare())
    with pytest.raises(ConfigError, match="GridWidths asks about the pictures of PatchAbove"):
        METRIC.held_out(Copy().prepare())
