"""Attention over spans: the native kernel, forward and backward, is the dense product in float64 and its gradients."""

import os
import subprocess
import sys

import pytest
import torch

from paribus.ops import _kernels, kernels
from paribus.ops.kernels import SpanRun
from paribus.ops.spans import Spans, row_spans
from paribus.ops.tiles import Tile, band, below, windows

SCALE = 0.3
# (batch, heads, kv_heads, rows, keys, d, e): about the borders of tiles of 6, blocks of 96, chunks of 768, panels of 64
SHAPES = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 4, 2, 7, 65, 16, 16),
    (1, 2, 2, 97, 64, 33, 5),
    (2, 3, 1, 100, 190, 5, 70),
    (1, 6, 2, 200, 129, 64, 64),
    (1, 1, 1, 770, 300, 8, 130),
]


def split(rows: int, keys: int) -> list[Spans]:
    """Two runs that share no key of a row: stretches of any length, next to each other or not, and none at all."""
    ends = torch.randint(0, keys + 1, (rows, 4)).sort(dim=1).values
    ends[torch.rand(rows) < 0.1] = 0
    ends[torch.rand(rows) < 0.3, :2] = 0
    first, second, third, fourth = (x.contiguous() for x in ends.unbind(dim=1))
    return [Spans(first, second), Spans(third, fourth)]


def made(shape: tuple[int, ...]):
    batch, heads, groups, rows, keys, d, e = shape
    spans = split(rows, keys)
    runs = [
        SpanRun(
            torch.randn(batch, rows, heads, d).transpose(1, 2),
            torch.randn(batch, groups, keys, d + 3)[..., :d],
            one,
        )
        for one in spans
    ]
    return runs, torch.randn(batch, keys, groups, e).transpose(1, 2)


def dense(runs, v, scale=SCALE):
    """The same in float64 with all pairs at once, and the leaves of its gradients."""
    leaves = [(run.query.double().requires_grad_(), run.key.double().requires_grad_()) for run in runs]
    values = v.double().requires_grad_()
    key, scores = torch.arange(v.shape[2]), []
    for run, (q, k) in zip(runs, leaves, strict=True):
        seen = (key >= run.spans.low[:, None]) & (key < run.spans.high[:, None])
        shared = q.shape[1] // k.shape[1]
        scores.append((scale * q @ k.repeat_interleave(shared, dim=1).mT).masked_fill(~seen, -torch.inf))
    joined = torch.cat(scores, dim=-1)
    weights = joined.masked_fill(joined.isneginf().all(dim=-1, keepdim=True), 0.0).softmax(dim=-1)
    weights = weights * ~joined.isneginf()
    every = values.repeat_interleave(runs[0].query.shape[1] // v.shape[1], dim=1)
    return weights @ torch.cat([every] * len(runs), dim=2), joined.logsumexp(dim=-1), leaves, values


def grouped(x, groups):
    return x.unflatten(1, (groups, -1)).sum(dim=2)


def close(found, wanted):
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_dense_product(shape):
    runs, v = made(shape)
    out, log_sums = kernels.span_attention(runs, v, SCALE)
    wanted, sums, leaves, values = dense(runs, v)
    close(out, wanted)
    close(log_sums, sums)
    gradient = torch.randn(out.shape).transpose(1, 2).contiguous().transpose(1, 2)
    flat = [x for leaf in leaves for x in leaf]
    *wanted, wanted_values = torch.autograd.grad(wanted, [*flat, values], gradient.double())
    d_values = torch.zeros(*out.shape[:2], *v.shape[2:])
    for run, d_query, d_key in zip(runs, wanted[::2], wanted[1::2], strict=True):
        found = kernels.span_attention_backward(gradient, run, v, out, log_sums, SCALE, d_values)
        close(found[0], d_query)
        close(grouped(found[1], v.shape[1]), d_key)
    close(grouped(d_values, v.shape[1]), wanted_values)


def test_parts_of_queries_and_keys():
    """A run may bring those rows and keys alone that its spans name; the gradients are of these."""
    runs, v = made((1, 2, 1, 150, 200, 8, 8))
    low, high = (x.clamp(50, 120) for x in (runs[0].spans.low, runs[0].spans.high))
    low[:30], high[:30], low[110:], high[110:] = 0, 0, 0, 0
    whole = SpanRun(runs[0].query, runs[0].key, Spans(low, high))
    part = SpanRun(whole.query[:, :, 30:110], whole.key[:, :, 50:120], whole.spans, 30, 50)
    gradient, given = torch.randn(1, 2, 150, 8), [kernels.span_attention([one], v, SCALE) for one in (whole, part)]
    for one, other in zip(*given, strict=True):
        assert torch.equal(one, other)
    sums = [torch.zeros(1, 2, 200, 8) for _ in range(2)]
    (dq, dk), (part_q, part_k) = (
        kernels.span_attention_backward(gradient, run, v, *given[0], SCALE, into)
        for run, into in zip((whole, part), sums, strict=True)
    )
    assert torch.equal(dq[:, :, 30:110], part_q)
    assert torch.equal(dk[:, :, 50:120], part_k)
    assert torch.equal(*sums)
    assert not dq[:, :, :30].any()
    assert not dk[:, :, 120:].any()


def test_it_does_not_depend_on_the_threads():
    runs, v = made((2, 3, 1, 1600, 300, 16, 24))
    gradient, before, found = torch.randn(2, 3, 1600, 24), torch.get_num_threads(), []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        out, log_sums = kernels.span_attention(runs, v, SCALE)
        d_values = torch.zeros(2, 3, 300, 24)
        parts = [kernels.span_attention_backward(gradient, run, v, out, log_sums, SCALE, d_values) for run in runs]
        found.append([out, log_sums, d_values, *parts[0], *parts[1]])
    torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], others, strict=True))


def test_large_scores():
    runs, v = made((1, 2, 2, 130, 140, 16, 16))
    runs = [run._replace(query=run.query * 1e3) for run in runs]
    out, log_sums = kernels.span_attention(runs, v, SCALE)
    wanted, sums, *_ = dense(runs, v)
    torch.testing.assert_close(out.double(), wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(log_sums.double(), sums, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("keys", [3, 200])
def test_what_is_no_number_is_told(keys):
    """As in a product: the rows that see such a key, or ask with such a query, are no numbers, and no others."""
    key, query = torch.randn(1, 1, keys, 8), torch.randn(1, 1, 12, 8)
    key[0, 0, 1], query[0, 0, 3] = torch.nan, torch.nan
    low = torch.zeros(12, dtype=torch.int64)
    high = torch.full((12,), keys)
    low[:3], low[6:] = 2, 2
    out, log_sums = kernels.span_attention([SpanRun(query, key, Spans(low, high))], torch.randn(1, 1, keys, 8), SCALE)
    lost = torch.zeros(12, dtype=torch.bool)
    lost[3:6] = True
    assert torch.equal(out.isnan().all(dim=-1)[0, 0], lost)
    assert torch.equal(out.isnan().any(dim=-1)[0, 0], lost)
    assert torch.equal(log_sums.isnan()[0, 0], lost)


def test_nothing_to_see():
    runs, v = made((1, 2, 1, 20, 30, 4, 4))
    zero = torch.zeros(20, dtype=torch.int64)
    none = [run._replace(spans=Spans(zero, zero)) for run in runs]
    out, log_sums = kernels.span_attention(none, v, SCALE)
    assert not out.any()
    assert bool(log_sums.isneginf().all())
    d_values = torch.zeros(1, 2, 30, 4)
    found = kernels.span_attention_backward(out, none[0], v, out, log_sums, SCALE, d_values)
    assert not any(x.any() for x in (*found, d_values))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spans": Spans(torch.zeros(20, dtype=torch.int64), torch.full((20,), 31))},
        {"spans": Spans(torch.full((20,), -1), torch.full((20,), 30))},
        {"spans": Spans(torch.zeros(21, dtype=torch.int64), torch.full((21,), 30))},
        {"first_row": 1},
        {"first_key": 1},
        {"key": torch.randn(1, 1, 30, 5)},
        {"query": torch.randn(1, 2, 20, 4).double()},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_memory_that_is_not_there_is_never_read(wrong):
    runs, v = made((1, 2, 1, 20, 30, 4, 4))
    right = runs[0]._replace(spans=Spans(torch.zeros(20, dtype=torch.int64), torch.full((20,), 30)))
    kernels.span_attention([right], v, SCALE)
    with pytest.raises(AssertionError):
        kernels.span_attention([right._replace(**wrong)], v, SCALE)


TILES = [
    below(0, 50, 0),
    below(10, 40, 7, left=2),
    band(0, 90, 0, 20),
    band(5, 77, 6, 20),
    windows(0, 90, 0, 20, 8),
    [*band(0, 60, 0, 9), *below(0, 60, 9)],
    [Tile("full", 30, 0, 10, 4)],
    [],
]


@pytest.mark.parametrize("tiles", TILES, ids=range(len(TILES)))
def test_spans_of_tiles(tiles):
    found = row_spans(tiles, 100)
    assert found is not None
    pairs = {pair for tile in tiles for pair in tile.pairs()}
    low, high = found.low.tolist(), found.high.tolist()
    assert {(row, column) for row in range(100) for column in range(low[row], high[row])} == pairs
    if pairs:
        assert found.rows == (min(row for row, _ in pairs), max(row for row, _ in pairs) + 1)
        assert found.keys == (min(column for _, column in pairs), max(column for _, column in pairs) + 1)
    else:
        assert found.empty


def test_stretches_with_gaps_are_no_spans():
    assert row_spans([Tile("full", 0, 0, 5, 3), Tile("full", 4, 5, 5, 3)], 20) is None


@pytest.mark.skipif("PARIBUS_PROCESSOR" in os.environ, reason="one processor is enough inside another")
@pytest.mark.parametrize("processor", ["plain", "avx2", "avx512"])
def test_on_other_processors(processor):
    """Every compiled form that this machine can run, and no other, is chosen by name."""
    environment = os.environ | {"PARIBUS_PROCESSOR": processor}
    shown = subprocess.run(
        [sys.executable, "-c", "from paribus.ops import _kernels; print(_kernels.compiled_for)"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode != 0:
        assert f"PARIBUS_PROCESSOR={processor}: this machine computes as one of" in shown.stderr
        pytest.skip(f"this machine has no {processor}")
    assert shown.stdout.strip() == processor
    if processor != _kernels.compiled_for:
        tests = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
        ran = subprocess.run(tests, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-3000:]


def test_an_unknown_processor_is_refused():
    environment = os.environ | {"PARIBUS_PROCESSOR": "abacus"}
    code = "import paribus.ops.kernels"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "PARIBUS_PROCESSOR=abacus: this machine computes as one of" in ran.stderr
    assert "plain" in ran.stderr
