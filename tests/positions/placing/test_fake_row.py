"""Text as a line, images below it."""

import torch

from paribus.positions.placing.fake_row import FakeRow


def test_an_image_hangs_below_the_line_of_text():
    placing = FakeRow(image=4, sizes=6, largest=8)
    tokens = torch.tensor([[0, 4, 8, 9, *[50] * 6, 5, 0]])
    found = placing(tokens, torch.arange(12)[None] + 100)[0]
    assert found[:4].tolist() == [[0, n] for n in range(100, 104)]
    assert found[4:10].tolist() == [[x, y] for x in (1, 2) for y in (104, 105, 106)]
    assert found[10:].tolist() == [[0, 107], [0, 108]]
