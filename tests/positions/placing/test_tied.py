"""RoPE-Tie from tokens: what `tie.Places` gives for the same segments, counted from 0."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.positions.placing.tied import Tied
from paribus.positions.tie import ImageGrid, Places, TextRun

MODES = ["integer", "fractional", "v2"]
MARK, SIZES, LARGEST = 4, 6, 16


def written(segments) -> tuple[list[int], list]:
    """Tokens, and the segments of `Places` with the mark and the sizes as text."""
    tokens, known = [], []
    for one in segments:
        if isinstance(one, int):
            tokens += [0] * one
            known.append(TextRun(one))
        else:
            h, w = one
            tokens += [MARK, SIZES + h, SIZES + w, *[50] * (h * w)]
            known += [TextRun(3), ImageGrid(h, w)]
    return tokens, known


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60, deadline=None)
@given(segments=st.lists(st.integers(0, 5) | st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6))
def test_the_slow_twin(mode, segments):
    tokens, known = written(segments)
    expected = Places(mode)(known) - 1
    found = Tied(image=MARK, sizes=SIZES, largest=LARGEST, mode=mode)(
        torch.tensor([tokens], dtype=torch.int64), torch.arange(len(tokens))[None]
    )[0]
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_images_are_symmetric_between_their_text(mode):
    """First patch - last text = next text - last patch on both axes, for all sizes up to 16."""
    for h in range(1, 17):
        for w in range(1, 17):
            tokens, _ = written([2, (h, w), 1])
            at = torch.arange(len(tokens))[None]
            found = Tied(image=MARK, sizes=SIZES, largest=LARGEST, mode=mode)(torch.tensor([tokens]), at)[0]
            torch.testing.assert_close(found[5] - found[4], found[-1] - found[-2])


def test_the_worked_example():
    """Text that ends at 4, two rows, three columns, text from 16 on."""
    tokens, _ = written([2, (2, 3), 1])
    found = Tied(image=MARK, sizes=SIZES, largest=LARGEST)(torch.tensor([tokens]), torch.arange(12)[None])[0]
    assert found[:5].tolist() == [[n, n] for n in range(5)]
    assert found[5:11].tolist() == [[x, y] for x in (8, 12) for y in (7, 10, 13)]
    assert found[11].tolist() == [16, 16]
