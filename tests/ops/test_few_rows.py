"""One pass over the matrix against F.linear in float64, and when it is taken."""

import pytest
import torch
from torch.nn import functional as F

from paribus.ops import few_rows
from paribus.ops.blocks import HEAD, SIZE, Blocks, attach, attached, blocks_of

SIZES = [(1, 1), (1, 33), (3, 5), (4, 64), (7, 100), (65, 31), (576, 1536)]
ROWS = [(), (1,), (2,), (1, 2)]


@pytest.fixture
def of_any_size(monkeypatch):
    monkeypatch.setattr(few_rows, "LARGE", 1)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def drawn(n_out: int, n_blocks: int, bits: int) -> Blocks:
    codes = torch.randint(0, 256, (n_out, n_blocks, SIZE * bits // 8), dtype=torch.uint8)
    return blocks_of(torch.rand(n_out, n_blocks), torch.randn(n_out, n_blocks), codes, bits)


def with_blocks(n_out: int, n_blocks: int, bits: int) -> torch.Tensor:
    blocks = drawn(n_out, n_blocks, bits)
    weight = blocks.unfolded()
    attach(weight, blocks)
    return weight


def holds(x: torch.Tensor, weight: torch.Tensor) -> None:
    found = few_rows.linear(x, weight)
    exact = F.linear(x.double(), weight.double())
    assert found.shape == exact.shape
    assert found.dtype == x.dtype
    # The sum's own rounding, in proportion to the sizes added up, and that of the output: half of its last place.
    bound = x.shape[-1] * 2**-24 * F.linear(x.double().abs(), weight.double().abs())
    bound += exact.abs() * (2**-8 if x.dtype == torch.bfloat16 else 2**-24)
    assert ((found.double() - exact).abs() <= 1.001 * bound + 1e-30).all()


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_16_bits_against_the_twin(sizes, rows, monkeypatch):
    x, weight = torch.randn(*rows, sizes[1]).bfloat16(), torch.randn(sizes).bfloat16()
    assert few_rows.memory_bound(x, weight)
    holds(x, weight)
    with monkeypatch.context() as patch:  # and it was the kernel that did it
        patch.setattr(few_rows.F, "linear", None)
        few_rows.linear(x, weight)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (7, 18), (577, 4)], ids=str)
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_against_the_twin(sizes, rows, bits, monkeypatch):
    weight = with_blocks(*sizes, bits)
    x = torch.randn(*rows, weight.shape[1])
    holds(x, weight)
    with monkeypatch.context() as patch:
        patch.setattr(few_rows.F, "linear", None)
        few_rows.linear(x, weight)


@pytest.mark.parametrize("bits", [4, 8])
def test_what_a_block_says(bits):
    blocks = drawn(3, 2, bits)
    assert blocks.shape == (3, 64)
    step, floor = blocks.stored[1, 1, :HEAD].clone().view(torch.float32).tolist()
    codes = blocks.stored[1, 1, HEAD:].tolist()
    if bits == 8:
        expected = [code ^ 128 for code in codes]
    else:
        expected = [code & 15 for code in codes] + [code >> 4 for code in codes]
    found = blocks.unfolded()[1, 32:]
    torch.testing.assert_close(found, torch.tensor([step * code + floor for code in expected]))


def test_a_changed_matrix_has_no_blocks():
    weight = with_blocks(2, 2, 4)
    assert attached(weight) is not None
    assert attached(weight.detach()) is None  # another tensor, of which nothing is known
    weight[0, 0] += 1
    assert attached(weight) is None
    holder = torch.nn.Linear(64, 2, bias=False)
    holder.weight.data = drawn(2, 2, 4).unfolded()
    attach(holder.weight, drawn(2, 2, 4))
    holder.weight.data = torch.zeros(2, 64)
    assert attached(holder.weight) is None
    attach(holder.weight, drawn(2, 2, 4))
    assert attached(holder.to(torch.bfloat16).weight) is None


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_threads_change_nothing(bits):
    weight = torch.randn(50, 96).bfloat16() if bits == 16 else with_blocks(50, 3, bits)
    x = torch.randn(2, 96).to(weight.dtype)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(few_rows.linear(x, weight))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.usefixtures("of_any_size")
def test_views_are_read_as_they_are():
    x, weight = torch.randn(8, 3).bfloat16().T[1], torch.randn(6, 8).bfloat16()
    holds(x, weight)
    assert not few_rows.memory_bound(x, torch.randn(8, 6).bfloat16().T)


def test_gradients_many_rows_and_small_matrices_go_to_torch():
    weight = torch.randn(256, 256)
    assert few_rows.memory_bound(torch.randn(1, few_rows.FEW, 256), weight)
    assert not few_rows.memory_bound(torch.randn(1, few_rows.FEW + 1, 256), weight)
    assert not few_rows.memory_bound(torch.randn(1, 255), torch.randn(256, 255))
    assert not few_rows.memory_bound(torch.randn(1, 256, dtype=torch.bfloat16), weight)
    assert not few_rows.memory_bound(torch.randn(1, 256).double(), weight.double())
    assert few_rows.memory_bound(torch.randn(1, 256), torch.nn.Parameter(weight))
    with torch.enable_grad():
        assert not few_rows.memory_bound(torch.randn(1, 256), weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not few_rows.memory_bound(torch.randn(1, 256), weight)


@pytest.mark.parametrize("bits", [4, 16])
def test_nan_and_infinity_pass_through(bits):
    weight = torch.randn(256, 256).bfloat16() if bits == 16 else with_blocks(256, 8, 4)
    x = torch.zeros(1, 256, dtype=weight.dtype)
    x[0, 3] = torch.nan
    assert few_rows.linear(x, weight).isnan().all()
    x[0, 3] = torch.inf
    assert few_rows.linear(x, weight).isinf().all()
