"""One softmax over several sets of pairs, each scored by its own linear maps of q and k: exact, and no n x n buffer.

    s(m, n) = c <Q_p q_m, K_p k_n>,  p the share that owns the pair (m, n);   o_m = sum_n softmax(s(m, .))_n v_n

On x86 one kernel takes all shares in float32, where each is one stretch of keys a query (ops/spans, ops/kernels).
Elsewhere each share is a few calls of a stock attention kernel (ops/tiles, ops/flash); their outputs merge by
log-sum-exp,

    o <- o + w (o' - o),  w = sigmoid(l' - l);   l <- log(e^l + e^l'),

and the backward of each call takes the merged o and l. Only q, k, v, o and l are kept for it: the maps are applied
again, and their adjoints bring the gradients back. The slow twin is attention/attend.py.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paribus.ops import kernels
from paribus.ops.flash import flash, flash_backward
from paribus.ops.spans import Spans, row_spans
from paribus.ops.tiles import Tile, trapezoids

# (x, start, stop) -> a linear map of every vector of x, which stand at the indices start .. stop - 1
Turn = Callable[[Tensor, int, int], Tensor]


AT_ONCE = 2**19  # numbers of the queries of one call: what calls return stays small beside q, k and v
ROWS_A_SHARE = 32  # with fewer rows for each share tiles are faster: the native kernel goes through all rows for each
STRIP = 256  # columns of the strips of triangles of medium size, whose backward is faster so on a CPU


class Share(NamedTuple):
    """The pairs of these tiles are scored by <query(q), key(k)>; None leaves a vector as it is."""

    tiles: Sequence[Tile]  # without windows, which have no backward here
    forward_tiles: Sequence[Tile] | None = None  # the same pairs in tiles that are faster in the forward pass
    query: Turn | None = None
    query_back: Turn | None = None  # the adjoint of query
    key: Turn | None = None
    key_back: Turn | None = None

    @property
    def in_forward(self) -> Sequence[Tile]:
        return self.tiles if self.forward_tiles is None else self.forward_tiles


def merged_attention(q: Tensor, k: Tensor, v: Tensor, shares: Sequence[Share], scale: float) -> Tensor:
    """(batch, heads, n_queries, head_dim); a query without any pair gives zeros.

    q (batch, heads, n_queries, head_dim), k and v (batch, kv_heads, n_keys, head_dim), rows of tiles being counted from
    the first query. No pair may be in two tiles. Where `kernels.attends` takes them, values may have another width.
    """
    used = tuple(share for share in shares if share.tiles)
    merged: Tensor = _Merged.apply(*map(_rows, (q, k, v)), used, scale)  # type: ignore[no-untyped-call]
    return merged


def spans_of(shares: Sequence[Share], q: Tensor, *others: Tensor) -> list[Spans] | None:
    """Which keys each query meets in each share, where the native kernel takes all of this at once; else None."""
    used, rows = [share for share in shares if share.tiles], q.shape[2]
    if not used or not kernels.attends(q, *others) or rows < ROWS_A_SHARE * (len(used) - 1):
        return None
    found = [row_spans(share.tiles, rows) for share in used]
    known = [spans for spans in found if spans is not None]
    return known if len(known) == len(found) else None


class _Merged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, shares: tuple[Share, ...], scale: float) -> Tensor:
        if (spans := spans_of(shares, q, k, v)) is None:
            out, lse = _one_by_one(q, k, v, shares, scale)
        else:
            runs = [_run(q, k, *one) for one in zip(shares, spans, strict=True)]
            out, lse = kernels.span_attention(runs, v, scale)
            lse = lse[..., None]
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.shares, ctx.scale = shares, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, lse = ctx.saved_tensors
        groups = k.shape[1]
        spans = spans_of(ctx.shares, q, k, v, gradients[0])
        if spans is None:
            d_values = torch.zeros(v.shape, dtype=_wide(v.dtype), device=v.device)
            given = tuple(_Places(x, groups) for x in (gradients[0], out, lse))
            values, into = _Places(v, groups, q.shape[1] // groups), _Places(d_values, groups)
            parts = (_gradients(q, k, values, given, into, share, ctx.scale) for share in ctx.shares)
        else:
            d_values = v.new_zeros(*q.shape[:2], *v.shape[2:])  # once for each query head
            whole = (_rows(gradients[0]), v, out.contiguous(), lse[..., 0].contiguous(), d_values)
            runs = (_run(q, k, *one) for one in zip(ctx.shares, spans, strict=True))
            parts = (_gradients_at_once(run, groups, whole, ctx.scale) for run in runs)
        dq = dk = None
        for share, (d_queries, d_keys) in zip(ctx.shares, parts, strict=True):
            dq = d_queries.added_to(dq, q, share.query_back)
            dk = d_keys.added_to(dk, k, share.key_back)
            del d_queries, d_keys
        dq, dk = (torch.zeros_like(x) if dx is None else dx for x, dx in ((q, dq), (k, dk)))
        dv = _of_groups(d_values, groups)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None, None


def _run(q: Tensor, k: Tensor, share: Share, spans: Spans) -> kernels.SpanRun:
    queries, keys = _turned(q, k, share)
    return kernels.SpanRun(_rows(queries.whole), _rows(keys.whole), spans, queries.start, keys.start)


def _gradients_at_once(
    run: kernels.SpanRun, groups: int, given: tuple[Tensor, ...], scale: float
) -> tuple["_Places", "_Places"]:
    """Gradients of a share's turned queries and keys by the native kernel; those of the values are added up."""
    gradient, v, out, log_sums, d_values = given
    d_query, d_key = kernels.span_attention_backward(gradient, run, v, out, log_sums, scale, d_values)
    d_key = _of_groups(d_key, groups)
    return _Places(d_query, groups, start=run.first_row), _Places(d_key, groups, start=run.first_key)


def _of_groups(x: Tensor, groups: int) -> Tensor:
    """The gradient of a head of keys is the sum over the query heads that read it."""
    return x.unflatten(1, (groups, -1)).sum(dim=2) if x.shape[1] > groups else x


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, shares: Sequence[Share], scale: float) -> tuple[Tensor, Tensor]:
    """The same by calls of a stock kernel, tile by tile."""
    assert q.shape[-1] == v.shape[-1]
    groups, wide = k.shape[1], _wide(q.dtype)
    out = torch.empty(q.shape, dtype=wide, device=q.device)
    lse = torch.empty((*q.shape[:3], 1), dtype=wide, device=q.device)
    if not _written_first(shares, q.shape[2]):
        out.zero_()
        lse.fill_(-torch.inf)
    values, merged, total = _Places(v, groups, q.shape[1] // groups), _Places(out, groups), _Places(lse, groups)
    seen: list[tuple[int, int]] = []
    for share in shares:
        _add_share(q, k, values, merged, total, share, scale, seen)
    return out.to(q.dtype), lse


def _add_share(
    q: Tensor,
    k: Tensor,
    values: "_Places",
    out: "_Places",
    lse: "_Places",
    share: Share,
    scale: float,
    seen: list[tuple[int, int]],
) -> None:
    """Merge what this share's pairs add into out and lse; `seen` lists the rows that hold something already."""
    queries, keys = _turned(q, k, share)
    for tile in share.in_forward:
        fresh = all(tile.last_row <= start or tile.row >= stop for start, stop in seen)
        seen.append((tile.row, tile.last_row))
        causal = tile.kind in ("lower", "upper")
        bias = _window_bias(tile, queries.x) if tile.kind == "window" else None
        for some, head in _calls(tile, queries):
            operands = queries.rows(tile, head, some), keys.columns(tile, head, some), values.columns(tile, head, some)
            row, column, value = (_ordered(x, tile) for x in operands)
            part, each = flash(row, column, value, scale, causal, bias)
            part, each = _ordered(part, tile), _ordered(each[..., None], tile)
            into, before = out.rows(tile, head, some), lse.rows(tile, head, some)
            if fresh:
                into.copy_(part)
                before.copy_(each)
            else:
                into.lerp_(part.to(into.dtype), torch.sigmoid(each - before))
                before.copy_(torch.logaddexp(before, each))


def _gradients(
    q: Tensor,
    k: Tensor,
    values: "_Places",
    given: tuple["_Places", ...],
    d_values: "_Places",
    share: Share,
    scale: float,
) -> tuple["_Places", "_Places"]:
    """Gradients of the share's turned queries and keys; those of the values are added to d_values."""
    queries, keys = _turned(q, k, share)
    d_queries, d_keys = queries.zeros(), keys.zeros()
    for tile in _for_backward(share.tiles, q):
        for some, head in _calls(tile, queries):
            grad, out, lse, row = (_ordered(x.rows(tile, head, some), tile) for x in (*given, queries))
            column, value = (_ordered(x.columns(tile, head, some), tile) for x in (keys, values))
            found = flash_backward(grad, row, column, value, out, lse[..., 0], scale, tile.kind != "full")
            d_row, d_column, d_value = (_ordered(x, tile) for x in found)
            d_queries.rows(tile, head, some).add_(d_row)
            d_keys.columns(tile, head, some, spread=False).add_(_of_group(d_column, tile))
            d_values.columns(tile, head, some, spread=False).add_(_of_group(d_value, tile))
    return d_queries, d_keys


class _Places:
    """x (batch, heads, n, d) as (batch * groups, heads / groups, n, d), of which a kernel takes strided views.

    start: the index of the first place. shared: how many query heads read each of these heads.
    """

    def __init__(self, x: Tensor, groups: int, shared: int = 1, start: int = 0) -> None:
        self.whole, self.groups, self.shared, self.start = x, groups, shared, start
        self.x = x.reshape(x.shape[0] * groups, x.shape[1] // groups, *x.shape[2:])

    def rows(self, tile: Tile, head: int | None, some: slice) -> Tensor:
        """(some of batch * groups, heads or tiles, rows, d)."""
        return self._view(tile, tile.row, tile.rows, head, some)

    def columns(self, tile: Tile, head: int | None, some: slice, spread: bool = True) -> Tensor:
        """With `spread`, the same columns once for each query head that reads them."""
        view = self._view(tile, tile.column, tile.columns, head if head is None else 0, some)
        return view.expand(-1, self.shared, -1, -1) if spread and head is None else view

    def _view(self, tile: Tile, first: int, size: int, head: int | None, some: slice) -> Tensor:
        first -= self.start
        if head is None:
            return self.x[some, :, first : first + size]
        span = self.x[some, head, first : first + (tile.count - 1) * tile.step + size]
        return span.unfold(1, size, tile.step).transpose(-1, -2)

    def zeros(self) -> "_Places":
        zeros = torch.zeros(self.whole.shape, dtype=_wide(self.x.dtype), device=self.x.device)
        return _Places(zeros, self.groups, self.shared, self.start)

    def added_to(self, total: Tensor | None, like: Tensor, back: Turn | None) -> Tensor:
        """The gradients of all places with these among them, which come through the adjoint of the share's map."""
        stop = self.start + self.whole.shape[2]
        mine = self.whole if back is None else back(self.whole, self.start, stop)
        if total is None:
            if mine.shape == like.shape:
                return mine
            total = torch.zeros(like.shape, dtype=mine.dtype, device=mine.device)
        total[:, :, self.start : stop].add_(mine)
        return total


def _turned(q: Tensor, k: Tensor, share: Share) -> tuple[_Places, _Places]:
    """Queries and keys of the share's tiles, and of no other place, as its maps make them."""
    groups, shared = k.shape[1], q.shape[1] // k.shape[1]
    start, stop = min(tile.row for tile in share.tiles), max(tile.last_row for tile in share.tiles)
    rows = q[:, :, start:stop] if share.query is None else share.query(q[:, :, start:stop], start, stop)
    queries = _Places(rows, groups, start=start)
    start, stop = min(tile.column for tile in share.tiles), max(tile.last_column for tile in share.tiles)
    columns = k[:, :, start:stop] if share.key is None else share.key(k[:, :, start:stop], start, stop)
    return queries, _Places(columns, groups, shared, start)


def _for_backward(tiles: Sequence[Tile], q: Tensor) -> list[Tile]:
    if q.device.type != "cpu":
        return list(tiles)
    return [part for one in tiles for part in (trapezoids(one, STRIP) if STRIP < one.rows <= 8 * STRIP else [one])]


def _window_bias(tile: Tile, like: Tensor) -> Tensor:
    """0 where a pair of the tile counts, -inf elsewhere: (rows, columns)."""
    row = torch.arange(tile.rows, device=like.device)[:, None]
    column = torch.arange(tile.columns, device=like.device)
    inside = (column >= row) & (column <= row + tile.columns - tile.rows)
    return torch.zeros(inside.shape, dtype=like.dtype, device=like.device).masked_fill(~inside, -torch.inf)


def _written_first(shares: Sequence[Share], n: int) -> bool:
    """Is every row written by some tile before another is merged into it?"""
    done: list[tuple[int, int]] = []
    for tile in (tile for share in shares for tile in share.in_forward):
        start, stop = tile.row, tile.last_row
        if any(first <= start and stop <= last for first, last in done):
            continue
        overlaps = any(start < last and first < stop for first, last in done)
        if overlaps or (tile.count > 1 and tile.step != tile.rows):
            return False
        # Neighbours become one interval.
        touching = [one for one in done if one[1] == start or one[0] == stop]
        done = [one for one in done if one not in touching]
        done.append((min([start, *(one[0] for one in touching)]), max([stop, *(one[1] for one in touching)])))
    return done == [(0, n)]


def _calls(tile: Tile, queries: _Places) -> Iterator[tuple[slice, int | None]]:
    """Which of batch * groups, and which of a group's query heads, go into one call.

    None: all heads of a group. A batch of tiles takes the place of the heads, which then have a call each.
    """
    several = tile.count > 1
    numbers = queries.x.shape[-1] * tile.rows * (tile.count if several else queries.x.shape[1])
    # The backward kernel gives each thread heads of its own.
    lot = max(torch.get_num_threads(), AT_ONCE // numbers)
    for first in range(0, len(queries.x), lot):
        for head in range(queries.x.shape[1]) if several else (None,):
            yield slice(first, first + lot), head


def _ordered(x: Tensor, tile: Tile) -> Tensor:
    """An upper triangle with rows and columns read backwards is a lower one, and the other way round."""
    return x.flip(-2) if tile.kind == "upper" else x


def _of_group(x: Tensor, tile: Tile) -> Tensor:
    """The gradient of a key head is the sum over the query heads that read it."""
    return x.sum(dim=1, keepdim=True) if tile.count == 1 and x.shape[1] > 1 else x


def _rows(x: Tensor) -> Tensor:
    """x with rows of numbers side by side; `contiguous` leaves the strides of what has no two numbers in a row."""
    return x if x.stride(-1) == 1 else x.clone(memory_format=torch.contiguous_format)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.itemsize < 4 else dtype
