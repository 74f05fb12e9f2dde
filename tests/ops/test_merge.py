"""Merged attention is one softmax over all its pairs: outputs and gradients, whatever the tiles."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from paribus.ops import kernels, merge
from paribus.ops.merge import Share, merged_attention
from paribus.ops.tiles import Tile, band, below, windows

SHAPES = [(1, 1, 1, 1, 1), (2, 4, 2, 37, 8), (1, 3, 3, 50, 16), (3, 2, 1, 20, 5)]


@pytest.fixture(autouse=True)
def _narrow_strips(monkeypatch):
    """So that small triangles are cut as large ones are."""
    monkeypatch.setattr(merge, "STRIP", 3)


def make(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """v is strided as a projection leaves it."""
    batch, heads, groups, n, d = shape
    q, k = torch.randn(batch, heads, n, d, dtype=dtype), torch.randn(batch, groups, n, d, dtype=dtype)
    v = torch.randn(batch, n, groups, d, dtype=dtype).transpose(1, 2)
    return [x.requires_grad_() for x in (q, k, v)]


def shares(n: int, w: int, matrix: Tensor) -> list[Share]:
    """Near pairs are scored by <M q, k>, far ones by the same number <q, M^T k>, those beyond by <q, k>."""

    def query(x: Tensor, start: int, stop: int) -> Tensor:
        return x @ matrix.T.to(x.dtype)

    def back(x: Tensor, start: int, stop: int) -> Tensor:
        return x @ matrix.to(x.dtype)

    return [
        Share(band(0, n, 0, w), windows(0, n, 0, w, 4), query, back),
        Share(band(0, n, w, 2 * w), None, None, None, back, query),
        Share(band(0, n, 2 * w, None)),
    ]


def dense(q: Tensor, k: Tensor, v: Tensor, w: int, matrix: Tensor, scale: float) -> Tensor:
    shared = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(shared, dim=1) for x in (k, v))
    place = torch.arange(q.shape[2])
    distance = place[:, None] - place
    scores = torch.where(distance < 2 * w, (q @ matrix.T) @ k.mT, q @ k.mT) * scale
    return scores.masked_fill(distance < 0, -torch.inf).softmax(dim=-1) @ v


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("w", [1, 5, 18, 100])
def test_against_the_dense_form(shape, w):
    inputs, matrix = make(shape), torch.randn(shape[-1], shape[-1], dtype=torch.float64)
    found = merged_attention(*inputs, shares(shape[3], w, matrix), 0.3)
    expected = dense(*inputs, w, matrix, 0.3)
    torch.testing.assert_close(found, expected)
    weigh = torch.randn_like(found).transpose(1, 2).contiguous().transpose(1, 2)
    for one, other in zip(
        torch.autograd.grad(found, inputs, weigh), torch.autograd.grad(expected, inputs, weigh), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_float32_and_bfloat16():
    """Against float64 on the same inputs. Outputs average values below 4: float32 is off by roundings of 2^-24,
    bfloat16 by 2^-8 of weights and values and once more at the end; gradients by as much of their largest entry.
    """
    matrix = torch.eye(8, dtype=torch.float64)
    exact = [x.detach().clamp(-4, 4).bfloat16().double().requires_grad_() for x in make((2, 4, 2, 37, 8))]
    expected = dense(*exact, 5, matrix, 0.3)
    weigh = torch.randn_like(expected).bfloat16().double()
    gradients = torch.autograd.grad(expected, exact, weigh)
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 2**-5)):
        inputs = [x.detach().to(dtype).requires_grad_() for x in exact]
        found = merged_attention(*inputs, shares(37, 5, matrix.to(dtype)), 0.3)
        assert found.dtype == dtype
        assert float((found - expected).detach().abs().max()) <= bound * 4
        for one, other in zip(torch.autograd.grad(found, inputs, weigh.to(dtype)), gradients, strict=True):
            assert one.dtype == dtype
            assert float((one - other).abs().max()) <= bound * float(other.abs().max())


def test_queries_that_are_the_last_tokens():
    q, k, v = make((2, 4, 2, 30, 8))
    matrix = torch.randn(8, 8, dtype=torch.float64)
    whole = merged_attention(q, k, v, shares(30, 4, matrix), 0.3)
    last = [Share(_from(21, share.tiles), None, *share[2:]) for share in shares(30, 4, matrix)]
    torch.testing.assert_close(merged_attention(q[:, :, 21:], k, v, last, 0.3), whole[:, :, 21:])


def _from(start: int, tiles: list[Tile]) -> list[Tile]:
    """The pairs of the rows from `start` on, one tile each, with rows counted from there."""
    return [Tile("full", i - start, j, 1, 1) for tile in tiles for i, j in tile.pairs() if i >= start]


def test_a_query_without_pairs_gives_zeros():
    q, k, v = make((1, 2, 1, 9, 4))
    out = merged_attention(q, k, v, [Share(below(3, 9, 2))], 0.3)
    assert (out[:, :, :3] == 0).all()
    assert (out[:, :, 3:] != 0).any()
    for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
        assert gradient.isfinite().all()
    assert (merged_attention(q, k, v, [], 0.3) == 0).all()


def test_gradcheck():
    matrix = torch.randn(4, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda q, k, v: merged_attention(q, k, v, shares(11, 2, matrix), 0.3), make((1, 2, 1, 11, 4))
    )


def test_no_table_of_all_pairs():
    """The largest tensor that forward and backward make at n = 1024 is no larger than a few vectors a token."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple) else (out,):
                if isinstance(x, Tensor):
                    largest = max(largest, x.untyped_storage().nbytes() // x.element_size())
            return out

    q, k, v = make((1, 1, 1, 1024, 8), torch.float32)
    tiles = [Share(band(0, 1024, 0, 100)), Share(band(0, 1024, 100, None))]
    with Watch():
        merged_attention(q, k, v, tiles, 0.3).sum().backward()
    assert largest <= 2 * 1024 * 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(dtype):
    matrix = torch.eye(64, dtype=torch.float64)
    exact = [x.detach().to(dtype).double().requires_grad_() for x in make((2, 4, 2, 300, 64))]
    expected = dense(*exact, 50, matrix, 0.125)
    weigh = torch.randn_like(expected).to(dtype).double()
    gradients = torch.autograd.grad(expected, exact, weigh)
    inputs = [x.detach().to("cuda", dtype).requires_grad_() for x in exact]
    pieces = [share._replace(forward_tiles=None) for share in shares(300, 50, matrix.to("cuda", dtype))]
    found = merged_attention(*inputs, pieces, 0.125)
    bound = 2**-5 if dtype == torch.bfloat16 else 1e-4
    assert float((found.cpu() - expected).detach().abs().max()) <= 4 * bound
    for one, other in zip(torch.autograd.grad(found, inputs, weigh.to("cuda", dtype)), gradients, strict=True):
        assert float((one.cpu() - other).abs().max()) <= bound * float(other.abs().max())


our_kernel = pytest.mark.skipif(not kernels.attends(torch.ones(1)), reason="our kernel is for x86")


def both_ways(monkeypatch, inputs: list[Tensor], given: list[Share]) -> list[list[Tensor]]:
    """Outputs and gradients by our kernel and by tiles."""
    results = []
    with monkeypatch.context() as patch:
        patch.setattr(merge, "ROWS_A_SHARE", 0)
        for taken in (True, False):
            if not taken:
                patch.setattr(kernels, "attends", lambda *tensors: False)
            assert (merge.spans_of(given, *inputs) is not None) == taken
            out = merged_attention(*inputs, given, 0.3)
            # The gradient of a sum has no memory of its own.
            results.append([out, *torch.autograd.grad(out.sum() + out.square().sum(), inputs)])
    return results


@our_kernel
@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 1, 150, 1), (0, 2, 1, 9, 4)], ids=str)
@pytest.mark.parametrize("w", [1, 18, 100])
def test_our_kernel_is_the_tiles(monkeypatch, shape, w):
    inputs, matrix = make(shape, torch.float32), torch.randn(shape[-1], shape[-1])
    ours, tiles = both_ways(monkeypatch, inputs, shares(shape[3], w, matrix))
    for found, expected in zip(ours, tiles, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@our_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_of_a_row_that_lie_apart(monkeypatch, dtype):
    q, k, v = (torch.randn(2, 2, 6, 40, dtype=dtype).transpose(2, 3).requires_grad_() for _ in range(3))
    expected = dense(q, k, v, 5, torch.eye(6, dtype=dtype), 0.3)
    found = merged_attention(q, k, v, shares(40, 5, torch.eye(6)), 0.3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@our_kernel
def test_whatever_tensors_are_made_as_by_default(monkeypatch):
    """Another default type or device: what the kernel reads and writes is of 32 bits and here."""
    inputs, given = make((1, 2, 1, 90, 8), torch.float32), [Share(band(0, 90, 0, 17)), Share(below(0, 90, 17))]
    expected = [x.detach() for x in both_ways(monkeypatch, inputs, given)[0]]
    before, more = torch.get_default_dtype(), [Share(band(0, 90, 0, 18)), Share(below(0, 90, 18))]
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        found = both_ways(monkeypatch, inputs, given)[0]
        merged_attention(*inputs, more, 0.3)  # spans that are made anew
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@our_kernel
def test_when_our_kernel_is_asked():
    q = torch.randn(1, 2, 90, 8)
    many = [Share([Tile("full", row, 0, 1, 1)]) for row in range(4)]
    assert merge.spans_of(many[:3], q, q, q) is not None
    assert merge.spans_of(many, q, q, q) is None
    assert merge.spans_of([Share([])], q, q, q) is None
    assert merge.spans_of([Share([Tile("full", 0, 0, 5, 3), Tile("full", 4, 5, 5, 3)])], q, q, q) is None
    assert merge.spans_of(many[:1], q, q.double(), q) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernels.attends(q)
    with FlopCounterMode(display=False):
        assert not kernels.attends(q)
        assert not kernels.usable(q)
