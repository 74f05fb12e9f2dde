import pytest
import torch

from paribus.ops.candidates import block_maxima, gather


@pytest.mark.parametrize(("n", "width"), [(1, 1), (9, 1), (7, 4), (64, 16), (129, 64)])
def test_every_entry_above_the_floor_is_found_once(n: int, width: int) -> None:
    x = torch.randn(5, n, generator=torch.Generator().manual_seed(n))
    x[3] = -torch.inf
    floor = torch.tensor([0.0, -9.0, 0.5, 0.0, 9.0])[:, None]
    blocks, maxima = block_maxima(x, width)
    top = maxima.amax(-1, keepdim=True)
    found = gather(blocks, maxima, top, floor)
    for row in range(5):
        kept = found.depths[row].isfinite()
        expected = (x[row] > floor[row]).nonzero()[:, 0]
        assert found.columns[row][kept].tolist() == expected.tolist()
        torch.testing.assert_close(top[row] - found.depths[row][kept], x[row, expected])


def test_nothing_above_the_floor() -> None:
    blocks, maxima = block_maxima(torch.zeros(3, 5), 1)
    found = gather(blocks, maxima, torch.zeros(3, 1), torch.ones(3, 1))
    assert found.columns.shape == found.depths.shape == (3, 0)
